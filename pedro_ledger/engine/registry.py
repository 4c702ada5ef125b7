"""Which actors there are: found or started on demand, put to rest when idle, bounded in number and
in what they hold.
"""

from collections import OrderedDict

from pedro_ledger.engine.actor import Phase, UserActor
from pedro_ledger.engine.mailbox import Mailbox
from pedro_ledger.engine.submission import CLERK_PREFIX, Submission
from pedro_ledger.ledger.errors import Overloaded
from pedro_ledger.ledger.operations import SPENDING

HOLD_PREFIX = "hold:"
"""A ref may name a hold in place of a user."""
SPARE_MAILBOXES_MAX = 1024
"""A resting actor gives its empty mailbox back: making one costs more than all the rest of a
delivery.
"""


class ActorRegistry:
    """Every actor by each ref that it is known by; the least recently used at rest leave first."""

    def __init__(self, *, accounts_max: int, mailbox_size_max: int, deducts_max: int) -> None:
        self._actors: OrderedDict[str, UserActor] = OrderedDict()
        self._accounts_max = accounts_max
        self._mailbox_size_max = mailbox_size_max
        self._deducts_max = deducts_max
        self._by_tag: dict[str, UserActor] = {}
        """Actors by their account's tag, which the id of each of its holds carries."""
        self._spare: list[Mailbox] = []
        self.active: dict[UserActor, None] = {}
        """Actors that are not resting, in the order in which they woke."""

    def __len__(self) -> int:
        return len(self._actors)

    def deliver(self, ref: str, submission: Submission, now: float) -> UserActor:
        """Put a submission into the mailbox of the actor that `ref` names.

        Raises `Overloaded` when it is full; deducts, earlier.
        """
        actor = self._actors.get(ref)
        if actor is None and ref.startswith(HOLD_PREFIX):
            actor = self._by_tag.get(tag_of(ref))
            ref = ref if actor is None else actor.refs[-1]
        if actor is None:
            actor = self._start(ref)
        else:
            self._actors.move_to_end(ref)
        mailbox = actor.mailbox
        if mailbox is None:
            mailbox = actor.mailbox = self._spare.pop() if self._spare else Mailbox(self._mailbox_size_max)
        waiting = mailbox.qsize()
        if waiting >= self._deducts_max and (
            waiting >= self._mailbox_size_max or type(submission.operation) in SPENDING
        ):
            raise Overloaded(
                f"{waiting} operations of this user are waiting already. Send fewer at once, or in one request.",
                limit="mailbox",
            )
        mailbox.put_nowait(submission)
        actor.touched_at = now
        self.active[actor] = None
        return actor

    def user_of(self, ref: str) -> str:
        """The id of the user that `ref` names; `ref` itself while the account is not loaded."""
        actor = self._actors.get(ref)
        if actor is None and ref.startswith(HOLD_PREFIX):
            actor = self._by_tag.get(tag_of(ref))
        return ref if actor is None or actor.account is None else actor.account.user_id

    def park(self, actor: UserActor) -> None:
        """The actor has nothing left to do: give back its mailbox; forget it altogether if it never
        had an account.
        """
        actor.phase = Phase.RESTING
        if actor.mailbox is not None and len(self._spare) < SPARE_MAILBOXES_MAX:
            self._spare.append(actor.mailbox)
        actor.mailbox = None
        actor.put_back = None
        if actor.originals:
            actor.originals = {}
        self.active.pop(actor, None)
        if actor.account is None:
            self._remove(actor)

    def resolve(self, actor: UserActor, user_id: str) -> UserActor:
        """The one actor of `user_id`: `actor` itself, or the one that was there first and now takes
        over its work.
        """
        first = self._actors.get(user_id)
        if first is None or first is actor:
            if first is None:
                actor.refs = (*actor.refs, user_id)
                self._actors[user_id] = actor
            assert actor.account is not None, "an actor is known by the account that it loaded"
            self._by_tag[actor.account.tag] = actor
            return actor
        for ref in actor.refs:
            self._actors[ref] = first
        first.merge(actor)
        self.active.pop(actor, None)
        self.active[first] = None
        return first

    def forget_clerk_ids(self, actor: UserActor) -> list[Submission]:
        """The user's Clerk id has changed: from now on none is known to be the user's.

        Returns what waits under one, to be delivered anew.
        """
        for ref in actor.refs:
            if ref.startswith(CLERK_PREFIX) and self._actors.get(ref) is actor:
                del self._actors[ref]
        actor.refs = tuple(ref for ref in actor.refs if not ref.startswith(CLERK_PREFIX))
        return actor.take_back_clerk_ids()

    def deepest_mailbox(self) -> int:
        """How many submissions the fullest mailbox holds."""
        return max((actor.mailbox.qsize() for actor in self.active if actor.mailbox is not None), default=0)

    def evict_idle(self, touched_before: float) -> int:
        """Forget resting actors that nobody has touched since. Returns how many."""
        evicted = 0
        for actor in list(self._oldest(256)):
            if actor.touched_at >= touched_before:
                break
            evicted += self._evict(actor)
        return evicted

    def _start(self, ref: str) -> UserActor:
        if len(self._actors) >= self._accounts_max:
            for actor in list(self._oldest(64)):
                if self._evict(actor):
                    break
            else:
                raise Overloaded("Too many users are active at once. Try again shortly.", limit="accounts")
        actor = self._actors[ref] = UserActor(ref)
        return actor

    def _oldest(self, count: int) -> list[UserActor]:
        return [actor for actor, _ in zip(self._actors.values(), range(count), strict=False)]

    def _evict(self, actor: UserActor) -> bool:
        if actor.phase is not Phase.RESTING or actor.refs[0] not in self._actors:
            return False
        self._remove(actor)
        return True

    def _remove(self, actor: UserActor) -> None:
        for ref in actor.refs:
            self._actors.pop(ref, None)
        if actor.account is not None:
            self._by_tag.pop(actor.account.tag, None)


def tag_of(ref: str) -> str:
    """The tag of the account whose hold a ref names: characters 10 to 19 of the hold's id."""
    return ref[len(HOLD_PREFIX) + 10 : len(HOLD_PREFIX) + 20]
