"""What proves a ledger: audits, checkpoints, Merkle trees and proofs."""
