import type { components } from "./generated/api";

type Deduct = components["schemas"]["DeductBody"];
type Receipt = components["schemas"]["Receipt"];

export class InsufficientCreditsError extends Error {
  constructor(readonly required: number, readonly available: number) {
    super(`Insufficient credits: ${required} required, ${available} available`);
  }
}

/**
 * `key` names one attempt, such as `chat-${message.id}:${message.attempt}`: with the same key it is charged once, however
 * often it is sent. After an answer (402, and the user bought credits) count the attempt up: the old key repeats the answer.
 */
export async function deductCredits(clerkId: string, body: Deduct, key: string): Promise<Receipt> {
  const response = await fetch(`${process.env.PEDRO_URL}/v1/users/clerk:${encodeURIComponent(clerkId)}/deduct`, {
    method: "POST",
    headers: { Authorization: `Bearer ${process.env.PEDRO_API_KEY}`, "Idempotency-Key": key },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (response.status === 402) throw new InsufficientCreditsError(answer.creditsRequired, answer.creditsAvailable);
  if (!response.ok) throw new Error(`${answer.code}: ${answer.detail}`);
  return answer;
}
