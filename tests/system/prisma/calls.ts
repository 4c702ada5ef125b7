// The app's own calls, as its document has them, against a database that the daemon serves.
import assert from "node:assert/strict";
import { test } from "node:test";

import { PrismaPg } from "@prisma/adapter-pg";

import { deductCredits, InsufficientCreditsError } from "./deduct";
import { OperationType, PrismaClient } from "./generated/prisma/client";

const db = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL }) });
test.after(() => db.$disconnect());

function onboard(clerkId: string, email: string, name: string) {
  return db.user.upsert({
    where: { clerkId },
    update: { email, name, isActive: true },
    create: { clerkId, email, name, creditBalance: { create: { clerkUserId: clerkId, creditsRemaining: 100 } } },
    include: { creditBalance: true, usageHistory: { orderBy: { timestamp: "desc" }, take: 5 } },
  });
}

async function refusedBy(call: Promise<unknown>, words: RegExp) {
  await assert.rejects(call, (error: Error) => words.test(error.message + JSON.stringify(error)));
}

test("onboarding: a user that Prisma made is charged by the daemon, and read with includes", async () => {
  const made = await onboard("ana", "ana@example.com", "Ana");
  assert.equal(made.creditBalance?.creditsRemaining, 100);
  assert.deepEqual(made.usageHistory, []);
  const receipt = await deductCredits("ana", { operationType: "AI_TEXT_CHAT", credits: 30, details: { model: "small" } }, "chat-1");
  assert.deepEqual([receipt.userId, receipt.credits, receipt.creditsRemaining], [made.id, 30, 70]);
  const again = await deductCredits("ana", { operationType: "AI_TEXT_CHAT", credits: 30, details: { model: "small" } }, "chat-1");
  assert.equal(again.entryId, receipt.entryId);
  const user = await onboard("ana", "ana@example.com", "Ana Maria");
  assert.deepEqual([user.id, user.name, user.creditBalance?.creditsRemaining], [made.id, "Ana Maria", 70]);
  assert.deepEqual(
    user.usageHistory.map((row) => [row.id, row.creditsUsed, row.operationType, row.details]),
    [[receipt.entryId, 30, OperationType.AI_TEXT_CHAT, { model: "small" }]],
  );
});

test("what is not there cannot be spent", async () => {
  await onboard("bea", "bea@example.com", "Bea");
  await assert.rejects(
    deductCredits("bea", { operationType: "AI_VIDEO_GENERATION", credits: 5000 }, "video-1"),
    (error) => error instanceof InsufficientCreditsError && error.required === 5000 && error.available === 100,
  );
  await assert.rejects(deductCredits("nobody", { operationType: "AI_TEXT_CHAT", credits: 1 }, "k"), /user_not_found/);
});

test("the old read-then-decrement is refused, and nothing moves", async () => {
  const { id: userId, creditBalance } = await onboard("cid", "cid@example.com", "Cid");
  const old = db.$transaction(async (tx) => {
    const balance = await tx.creditBalance.findUnique({ where: { userId } });
    assert.ok(balance!.creditsRemaining >= 10);
    await tx.creditBalance.update({
      where: { userId },
      data: { creditsRemaining: { decrement: 10 }, lastSyncedAt: new Date() },
    });
  });
  await refusedBy(old, /credits change only through the daemon; POST \/v1\/users/);
  const row = { userId, creditBalanceId: creditBalance!.id, operationType: OperationType.SHORTS_MEDIA, creditsUsed: 10 };
  await refusedBy(db.usageHistory.create({ data: row }), /usage is recorded by the daemon/);
  assert.equal((await db.creditBalance.findUniqueOrThrow({ where: { userId } })).creditsRemaining, 100);
  await db.creditBalance.update({ where: { userId }, data: { lastSyncedAt: new Date() } });
});

test("usage is paged by cursor", async () => {
  const { id: userId } = await onboard("dov", "dov@example.com", "Dov");
  const charged: string[] = [];
  for (let n = 1; n <= 45; n++) {
    charged.unshift((await deductCredits("dov", { operationType: "SHORTS_SCRIPT", credits: 1 }, `n-${n}`)).entryId);
  }
  const seen: string[] = [];
  for (let cursor: string | undefined; ; cursor = seen.at(-1)) {
    const page = await db.usageHistory.findMany({
      where: { userId },
      orderBy: [{ timestamp: "desc" }, { id: "desc" }],
      take: 20,
      cursor: cursor ? { id: cursor } : undefined,
      skip: cursor ? 1 : 0,
    });
    seen.push(...page.map((row) => row.id));
    if (page.length < 20) break;
  }
  assert.deepEqual(seen, charged);
});

test("files are tracked, listed and softly deleted", async () => {
  const { id: userId, clerkId: clerkUserId } = await onboard("eva", "eva@example.com", "Eva");
  const file = { userId, clerkUserId, provider: "vercel_blob", pathname: "/user123/image.png", contentType: "image/png", size: 1024 * 500 };
  const list = () => db.storageObject.findMany({ where: { userId, deletedAt: null }, orderBy: { createdAt: "desc" }, take: 50 });
  const made = await db.storageObject.create({ data: { ...file, name: "a.png", url: "https://blob.example.com/a.png" } });
  await db.storageObject.create({ data: { ...file, name: "b.png", url: "https://blob.example.com/b.png" } });
  assert.equal((await list()).length, 2);
  await db.storageObject.update({ where: { id: made.id }, data: { deletedAt: new Date() } });
  assert.deepEqual((await list()).map((each) => each.name), ["b.png"]);
});

test("feature costs and plans that Prisma writes price the daemon's next deducts", async () => {
  await onboard("fay", "fay@example.com", "Fay");
  await db.adminSettings.upsert({ where: { id: "singleton" }, create: { id: "singleton" }, update: {} });
  const settings = await db.adminSettings.findUniqueOrThrow({ where: { id: "singleton" } });
  const costs = (settings.featureCosts ?? {}) as Record<string, number>;
  await db.adminSettings.update({ where: { id: "singleton" }, data: { featureCosts: { ...costs, SHORTS_MEDIA: 20 } } });
  await db.plan.create({ data: { name: "Basic", credits: 100, sortOrder: 2 } });
  await db.plan.create({ data: { name: "Pro", credits: 500, sortOrder: 1, features: { AI_TEXT_CHAT: 1 } } });
  await db.plan.create({ data: { name: "Old", credits: 1, active: false } });
  const plans = await db.plan.findMany({ where: { active: true }, orderBy: { sortOrder: "asc" } });
  assert.deepEqual(plans.map((plan) => plan.name), ["Pro", "Basic"]);
  const deadline = Date.now() + 10_000;
  for (let n = 0; ; n++) {
    try {
      assert.equal((await deductCredits("fay", { operationType: "SHORTS_MEDIA" }, `try-${n}`)).credits, 20);
      break;
    } catch (error) {
      if (!/no_price/.test(String(error)) || Date.now() > deadline) throw error;
    }
  }
});

test("subscription events are logged, with their user or without", async () => {
  const user = await onboard("gil", "gil@example.com", "Gil");
  for (const userId of [user.id, null]) {
    await db.subscriptionEvent.create({
      data: { clerkUserId: "gil", planKey: "Pro", status: "active", eventType: "subscription.created", metadata: { a: 1 }, userId },
    });
  }
  assert.equal(await db.subscriptionEvent.count({ where: { clerkUserId: "gil" } }), 2);
});

test("a user with history stays, and is deactivated instead", async () => {
  const { id } = await onboard("hal", "hal@example.com", "Hal");
  await deductCredits("hal", { operationType: "AI_TEXT_CHAT", credits: 1 }, "k");
  await refusedBy(db.user.delete({ where: { id } }), /has history and stays|Foreign key/);
  assert.equal((await db.user.update({ where: { id }, data: { isActive: false } })).isActive, false);
});
