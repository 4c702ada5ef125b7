-- Wait until no commit is under way and let none begin, in the order in which a commit takes its tables.
LOCK TABLE pedro_ledger.account IN EXCLUSIVE MODE;
LOCK TABLE public."CreditBalance", public."User" IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE public."UsageHistory" IN ACCESS EXCLUSIVE MODE;
