// The app's own calls of before there was a ledger, while the ledger is out of use.
import assert from "node:assert/strict";
import { test } from "node:test";

import { PrismaPg } from "@prisma/adapter-pg";

import { OperationType, PrismaClient } from "./generated/prisma/client";

const db = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL }) });
test.after(() => db.$disconnect());

async function deductCredits(clerkId: string, credits: number) {
  const user = await db.user.findUniqueOrThrow({ where: { clerkId }, include: { creditBalance: true } });
  const balance = user.creditBalance!;
  assert.ok(balance.creditsRemaining >= credits);
  const [after] = await db.$transaction([
    db.creditBalance.update({
      where: { userId: user.id },
      data: { creditsRemaining: { decrement: credits }, lastSyncedAt: new Date() },
    }),
    db.usageHistory.create({
      data: {
        userId: user.id, creditBalanceId: balance.id, operationType: OperationType.AI_TEXT_CHAT, creditsUsed: credits,
        details: { model: "small" },
      },
    }),
  ]);
  return after.creditsRemaining;
}

test("a user whom the daemon charged is charged by the app", async () => {
  assert.equal(await deductCredits("ana", 30), 40);
  assert.equal(await deductCredits("ana", -5), 45);
});

test("credits are set, users are made, charged and removed, plans are bought", async () => {
  await db.creditBalance.update({ where: { clerkUserId: "bea" }, data: { creditsRemaining: 500 } });
  for (const clerkId of ["new", "gone"]) {
    await db.user.create({ data: { clerkId, creditBalance: { create: { clerkUserId: clerkId, creditsRemaining: 100 } } } });
  }
  assert.equal(await deductCredits("new", 1), 99);
  await db.user.delete({ where: { clerkId: "gone" } });
  await db.plan.create({ data: { name: "Pro", credits: 500 } });
  await db.subscriptionEvent.create({
    data: { clerkUserId: "bea", planKey: "Pro", status: "active", eventType: "subscription.created" },
  });
});

test("a user with history is kept by the app's own foreign keys", async () => {
  await assert.rejects(db.user.delete({ where: { clerkId: "ana" } }), /Foreign key/);
});
