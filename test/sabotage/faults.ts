/**
 * Faults that scripts/sabotage.ts puts into a copy of the sources, one at a time: each breaks a promise in one line, and names the
 * test that has to turn red. `find` occurs exactly once in its file. Whoever changes such a line changes the fault with it.
 */
export interface Fault {
  readonly name: string;
  /** The promise that the fault breaks. */
  readonly breaks: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  readonly test: { readonly file: string; readonly name: string };
}

const inbox = "test/unit/journal/inbox.test.ts";
const conversation = "test/integration/conversation.test.ts";
const engineFailures = "test/unit/crypto/engineFailures.test.ts";
const packaging = "test/unit/packaging.test.ts";
const image = "test/integration/image.test.ts";
const trouble = "test/integration/trouble.test.ts";
const receipts = "test/integration/receipts.test.ts";
const rooms = "test/integration/rooms.test.ts";
const proxies = "test/integration/matrix/proxies.test.ts";

export const faults: readonly Fault[] = [
  {
    name: "token-saved-first",
    breaks: "nothing received is lost: the sync token is on disk in the same transaction as what it covers",
    file: "src/journal/inbox.ts",
    find: "const result = this.database.transaction(() => accept(batch, this.ports));",
    replace:
      "this.database.prepare(\"INSERT OR REPLACE INTO meta (key, value) VALUES ('sync_token', ?)\").run(batch.nextBatch); const result = this.database.transaction(() => accept(batch, this.ports));",
    test: {
      file: inbox,
      name: "a sync is kept as a whole or not at all: a failure leaves no event, no room, no invitation and the old token",
    },
  },
  {
    name: "token-not-saved",
    breaks: "a restart goes on where it was",
    file: "src/journal/accept.ts",
    find: ".run(batch.nextBatch);",
    replace: '.run(batch.since ?? "");',
    test: {
      file: inbox,
      name: "the token is written with the events that it covers, and both are there after a restart",
    },
  },
  {
    name: "held-writes-committed-early",
    breaks: "a sync's keys and its events are kept together or not at all",
    file: "src/crypto/keyStore.ts",
    find: "if (this.held !== null && !this.held.applied) this.held.changes.push(...changes);",
    replace: "if (changes === null) this.held = null;",
    test: {
      file: "test/integration/encryptionStore.test.ts",
      name: "a sync that was not committed leaves nothing on disk, and comes again as a whole",
    },
  },
  {
    name: "refused-write-reported-as-complete",
    breaks: "no message leaves that was encrypted with a ratchet that is not on disk",
    file: "src/crypto/keyStore.ts",
    find: "      return false;",
    replace: "      return true;",
    test: {
      file: "test/unit/crypto/keyStoreMachine.test.ts",
      name: "after a refused write, whichever it is, no ciphertext comes out",
    },
  },
  {
    name: "event-taken-again",
    breaks: "nothing is answered twice: an event ID is taken once",
    file: "src/journal/accept.ts",
    find: "ON CONFLICT (event_id) DO NOTHING`",
    replace: "ON CONFLICT (event_id) DO UPDATE SET state = 'new'`",
    test: { file: inbox, name: "an event ID is taken once, however often the server sends it" },
  },
  {
    name: "settled-twice",
    breaks: "nothing is answered twice: verdict and time-out are one compare-and-set",
    file: "src/journal/inbox.ts",
    find: "if (changes === 0) return false;",
    replace: "if (changes < 0) return false;",
    test: { file: inbox, name: "an entry is settled once: the second to settle loses and writes nothing" },
  },
  {
    name: "replay-check-removed",
    breaks: "nothing is answered twice: a replayed ciphertext under a new event ID is recognised",
    file: "src/protocol/decision.ts",
    find: 'if (input.replay) return ignore("replay");',
    replace: "",
    test: {
      file: conversation,
      name: "a ciphertext copied under a new event ID is recorded as a replay and not answered",
    },
  },
  {
    name: "random-transaction-id",
    breaks: "nothing is answered twice: a repeated send has the same transaction ID, also after a restart",
    file: "src/protocol/transactionIds.ts",
    find: "return `docket-${digest}` as TxnId;",
    replace: "return `docket-${digest}${Math.random()}` as TxnId;",
    test: {
      file: "test/unit/protocol/transactionIds.test.ts",
      name: "a transaction ID is the same after a restart, and in every version from now on",
    },
  },
  {
    name: "transaction-id-of-each-attempt",
    breaks: "nothing is answered twice: all attempts of one answer share a transaction ID",
    file: "src/pipeline/sender.ts",
    find: "await homeserver.send(event, entry.txnId, signal)",
    replace: "await homeserver.send(event, (entry.txnId + entry.attempts) as typeof entry.txnId, signal)",
    test: {
      file: trouble,
      name: "an answer whose reply is lost is repeated under the same transaction ID, and arrives once",
    },
  },
  {
    name: "answers-responses",
    breaks: "two bots never answer each other",
    file: "src/protocol/decision.ts",
    find: 'if (isResponseType(event.type)) return ignore("response");',
    replace: "",
    test: { file: conversation, name: "a response is never answered, even if it carries a request of its own" },
  },
  {
    name: "not-recorded-before-the-decision",
    breaks: "no success before it is durable",
    file: "src/pipeline/decryptor.ts",
    find: "await this.ports.recorder.keep(events);",
    replace: "",
    test: {
      file: conversation,
      name: "a request in an encrypted room is answered with success, once, and the answer never leaves in the clear",
    },
  },
  {
    name: "archive-without-a-record",
    breaks: "no success before it is durable: `archive` vouches for what is in the record",
    file: "src/handlers/archive.ts",
    find: 'if (receipt !== null) return { status: "success" };',
    replace: 'return { status: "success" };',
    test: {
      file: "test/unit/handlers/acknowledgeAndArchive.test.ts",
      name: "is an error where the operator's selection leaves the event out of the record",
    },
  },
  {
    name: "last-expiry-check-removed",
    breaks: "no answer after the lifetime: time may have passed during encryption",
    file: "src/pipeline/sender.ts",
    find: '      if (clock.now() > lastMoment) return dropped("expired");',
    replace: "",
    test: {
      file: "test/integration/lastExpiryCheck.test.ts",
      name: "an answer whose encryption takes until after the last moment to start is not sent any more",
    },
  },
  {
    name: "flight-not-aborted",
    breaks: "no answer after the lifetime: an attempt in flight is aborted at its end",
    file: "src/pipeline/sender.ts",
    find: "const timer = setTimeout(() => lifetime.abort(), ",
    replace: "const timer = setTimeout(() => undefined, ",
    test: {
      file: trouble,
      name: "no attempt starts after the end of the lifetime less the margin, and one in flight is aborted at the end",
    },
  },
  {
    name: "handler-started-too-late",
    breaks: "no handler runs whose answer could not be sent any more",
    file: "src/protocol/decision.ts",
    find: 'if (now > lastMomentToStart(end, policy.sendMarginMs)) return ignore("no_time_left");',
    replace: "",
    test: {
      file: "test/unit/protocol/decision.test.ts",
      name: "is neither answered nor handled when no attempt to send may start any more",
    },
  },
  {
    name: "room-keys-only-for-trusted-devices",
    breaks: "a client whose device nobody has signed can read the answers",
    file: "src/crypto/roomSettings.ts",
    find: "const settings = new EncryptionSettings();",
    replace:
      "const settings = new EncryptionSettings(); settings.sharingStrategy = settings.sharingStrategy.constructor.onlyTrustedDevices();",
    test: {
      file: "test/synapse/peers.test.ts",
      name: "matrix-nio on two devices of one account: each reads the answer, whichever of them asked",
    },
  },
  {
    name: "last-end-first",
    breaks: "where a homeserver limits how fast answers go, those that end soonest go first",
    file: "src/journal/dueEntries.ts",
    find: "ORDER BY expires_at, id LIMIT ?",
    replace: "ORDER BY expires_at DESC, id LIMIT ?",
    test: {
      file: "test/synapse/rateLimits.test.ts",
      name: "under the default limits answers that end soonest go first, those that can't arrive are dropped with a reason, and once exempted the bot answers all",
    },
  },
  {
    name: "encryption-skipped",
    breaks: "never in the clear in an encrypted room",
    file: "src/pipeline/sender.ts",
    find: 'return { roomId, type: "m.room.encrypted", content: encrypted.content };',
    replace: "return { roomId, type, content };",
    test: {
      file: conversation,
      name: "a request in an encrypted room is answered with success, once, and the answer never leaves in the clear",
    },
  },
  {
    name: "encryption-forgotten",
    breaks: "never in the clear: a room that was seen encrypted stays encrypted",
    file: "src/journal/roomStates.ts",
    find: "everEncrypted: (before?.everEncrypted ?? false) ||",
    replace: "everEncrypted:",
    test: {
      file: "test/unit/journal/roomStates.test.ts",
      name: "a room that was seen encrypted once stays encrypted, whatever the server sends or withholds later",
    },
  },
  {
    name: "room-key-not-sent",
    breaks: "an answer can be read by those whom it is for",
    file: "src/crypto/roomEncryption.ts",
    find: "if (shares.length > 0) return { shares: shares.map(readShare) };",
    replace: "if (shares.length > MOST_SHARE_ROUNDS) return { shares: shares.map(readShare) };",
    test: {
      file: "test/integration/encryption.test.ts",
      name: "what one side encrypts the other decrypts, with its session, message index and device",
    },
  },
  {
    name: "no-pause-after-a-failed-query",
    breaks: "a homeserver that fails is not hammered",
    file: "src/crypto/keyUpkeep.ts",
    find: "await clock.sleep(pauseMs, signal);",
    replace: "await clock.sleep(1, signal);",
    test: {
      file: engineFailures,
      name: "a /keys/query that fails with an error is repeated with growing pauses, whatever syncs come",
    },
  },
  {
    name: "failed-query-not-told",
    breaks: "a query that the homeserver failed to answer is repeated, without anybody's nudge",
    file: "src/crypto/memberDevices.ts",
    find: "this.options.onFailure(worst);",
    replace: "",
    test: {
      file: engineFailures,
      name: "a /keys/query that fails with an error is repeated with growing pauses, whatever syncs come",
    },
  },
  {
    name: "open-query-counted-as-due",
    breaks: "a dead server costs no more than a request now and then",
    file: "src/crypto/queryPauses.ts",
    find: ".filter(([user]) => !leftOut.has(user))",
    replace: "",
    test: {
      file: engineFailures,
      name: "while a dead server's query is open nobody is asked, and when it has ended the next one follows by itself",
    },
  },
  {
    name: "malformed-claim-escapes",
    breaks: "no answer of a server, however broken, ends the bot",
    file: "src/crypto/serverAnswers.ts",
    find: "throw error instanceof DocketError ? error : unusable(type, error);",
    replace: "throw error;",
    test: {
      file: "test/integration/encryptionClaims.test.ts",
      name: "servers that answer a claim with something unreadable cost their own users the key, and nobody else",
    },
  },
  {
    name: "late-key-wakes-nobody",
    breaks: "a late key is not a lost event",
    file: "src/journal/accept.ts",
    find: "const unparked = unpark(database, batch.newSessions);",
    replace: "const unparked = 0;",
    test: { file: inbox, name: "a parked event becomes new in the same transaction that brings its key" },
  },
  {
    name: "key-slips-by",
    breaks: "a late key is not a lost event: it may come while the event is being parked",
    file: "src/journal/inbox.ts",
    find: "} else if (keyEpoch !== this.keyArrivals) {",
    replace: "} else if (keyEpoch > this.keyArrivals) {",
    test: { file: inbox, name: "a key that comes between decryption and parking is not missed" },
  },
  {
    name: "rate-limit-ignored",
    breaks: "a server's wish to be left alone for a while is obeyed",
    file: "src/matrix/retries.ts",
    find: "Math.max(askedMs ?? 0, ownMs) : askedMs;",
    replace: "Math.max(askedMs ?? 0, ownMs) : 1;",
    test: { file: trouble, name: "an answer that the server limits waits as long as it says, and then arrives" },
  },
  {
    name: "data-directory-not-locked",
    breaks: "one process owns a data directory",
    file: "src/journal/database.ts",
    find: 'lock.pragma("locking_mode = EXCLUSIVE");',
    replace: "",
    test: {
      file: "test/unit/journal/database.test.ts",
      name: "a second process on the same data directory is refused with a reason, and the lock dies with its holder",
    },
  },
  {
    name: "anybody-may-invite",
    breaks: "only who is on the list may invite the bot",
    file: "src/rooms/invitePolicy.ts",
    find: "halves(pattern).every(",
    replace: "halves(pattern).some(",
    test: {
      file: "test/unit/rooms/invitePolicy.test.ts",
      name: "users and whole servers are accepted by the inviter's ID, and no look-alike is",
    },
  },
  {
    name: "content-in-the-log",
    breaks: "secrets and bodies never reach a log",
    file: "src/pipeline/worker.ts",
    find: 'reason: decision.reason, ms }, "decided");',
    replace: 'reason: decision.reason, ms, body: JSON.stringify(entry.event.content) }, "decided");',
    test: {
      file: "test/integration/canaries.test.ts",
      name: "are in no line that the bot or the demo writes, over a whole run",
    },
  },
  {
    name: "late-text-not-recorded",
    breaks: "a late key is not a lost event: its text reaches the record, whenever the bot was killed",
    file: "src/pipeline/recorder.ts",
    find: "!this.record.lacksText(entry.event.event_id)",
    replace: "this.record.lacksText(entry.event.event_id)",
    test: {
      file: "test/unit/pipeline/recorder.test.ts",
      name: "killed between the record and the parking, the bot still adds the text when the key comes",
    },
  },
  {
    name: "deep-message-stops-the-sync",
    breaks: "no to-device message, however deep, can stop the sync",
    file: "src/session/syncResponse.ts",
    find: "isTooDeep(message) ? tooDeepProblem : ",
    replace: "",
    test: {
      file: "test/unit/session/syncResponse.test.ts",
      name: "a to-device message that is none, or too deep to be written down, is set aside, and its neighbours are kept",
    },
  },
  {
    name: "time-out-waits-for-a-worker",
    breaks: "the deadline is kept even if every handler is busy",
    file: "src/pipeline/worker.ts",
    find: "inbox.claimOverdue({ max: OVERDUE_BATCH,",
    replace: "inbox.claimOverdue({ max: this.atWork.size > 0 ? 0 : OVERDUE_BATCH,",
    test: {
      file: "test/integration/deadlines.test.ts",
      name: "a deadline is kept even if every handler is busy with something else",
    },
  },
  {
    name: "order-ignored",
    breaks: "events of an ordered handler run in the order of arrival",
    file: "src/journal/readyQueue.ts",
    find: "room_id = ? AND ordered = 0 AND",
    replace: "room_id = ? AND",
    test: {
      file: inbox,
      name: "ordered entries of a room are handed out one by one in the order of arrival, whatever their deadlines",
    },
  },
  {
    name: "a-bots-directory-for-requests",
    breaks: "a bot and a requester never work with one data directory",
    file: "src/journal/ownership.ts",
    find: "if (role === null) return;",
    replace: "if (role !== null) return;",
    test: {
      file: "test/unit/journal/database.test.ts",
      name: "a directory that a bot uses is no requester's, and the other way round; signing in decides nothing",
    },
  },
  {
    name: "anybodys-data-directory",
    breaks: "a data directory belongs to one account and one device",
    file: "src/journal/ownership.ts",
    find: "if (known !== value) throw refused(known);",
    replace: 'if (known === "") throw refused(known);',
    test: {
      file: "test/unit/journal/database.test.ts",
      name: "a directory of another account or device is refused and names both",
    },
  },
  {
    name: "gap-not-recorded",
    breaks: "what the homeserver leaves out of a sync is recorded as a gap",
    file: "src/journal/accept.ts",
    find: "if (!update.limited ||",
    replace: "if (update.limited ||",
    test: { file: inbox, name: "a limited timeline is recorded as a gap with the sync that showed it" },
  },
  {
    name: "deleted-database-not-noticed",
    breaks: "no success for what is not on disk any more",
    file: "src/pipeline/housekeeping.ts",
    find: "database.requireInPlace();",
    replace: "",
    test: {
      file: trouble,
      name: "a database that is deleted while the bot runs ends it with 74: it does not go on saying success",
    },
  },
  {
    name: "keys-elsewhere-not-noticed",
    breaks: "a device has one set of keys, and the bot does not run with another",
    file: "src/session/ownKeys.ts",
    find: 'if (typeof known !== "string" || known === ed25519) return;',
    replace: "if (known !== null) return;",
    test: {
      file: trouble,
      name: "an empty data directory for a device that has keys already is refused with 73, and the old one goes on",
    },
  },
  {
    name: "malformed-encryption-ignored",
    breaks: "never in the clear: an encryption event counts even if it is malformed otherwise",
    file: "src/journal/roomStates.ts",
    find: " || update.encryptionSeen,",
    replace: ",",
    test: {
      file: "test/unit/journal/roomStates.test.ts",
      name: "an encryption event that is malformed otherwise still makes the room encrypted",
    },
  },
  {
    name: "one-room-takes-all-places",
    breaks: "a room whose answers are slow does not hold up the others",
    file: "src/journal/dueEntries.ts",
    find: "const free = want.perRoom -",
    replace: "const free = want.max + want.perRoom -",
    test: {
      file: "test/unit/journal/outbox.test.ts",
      name: "a room with many answers leaves places for the others, and counts what is being sent already",
    },
  },
  {
    name: "receipt-before-decryption",
    breaks: "an event that can't be decrypted gets no receipt until its key comes",
    file: "src/pipeline/decryptor.ts",
    find: 'return { kind: "park", sessionId, reason };',
    replace: 'return this.settle(entry, "no_answer", "undecryptable", null, this.ports.judge.receipt(entry, false));',
    test: { file: receipts, name: "an event that can't be decrypted gets no receipt, and one when its key comes" },
  },
  {
    name: "receipt-to-a-public-room",
    breaks: "by default nobody in a public room learns what the bot has received",
    file: "src/protocol/receipts.ts",
    find: 'if (room.joinRule === "public") return false;',
    replace: 'if (room.joinRule === "nobody") return false;',
    test: {
      file: receipts,
      name: "by default no receipt is sent in a public room, nor in one without encryption, and the request is answered all the same",
    },
  },
  {
    name: "receipt-from-before-the-join",
    breaks: "what was said before the bot came gets no receipt",
    file: "src/journal/accept.ts",
    find: "redacted, Number(beforeJoin));",
    replace: "redacted, 0);",
    test: { file: receipts, name: "state events, the bot's own, and events from before its join get no receipt" },
  },
  {
    name: "receipt-without-the-flag",
    breaks: "receipts are sent only to servers that say that they take them",
    file: "src/protocol/receipts.ts",
    find: '["org.matrix.msc4089"] === true ? "unstable" : "none"',
    replace: '["org.matrix.msc4089"] === true ? "unstable" : "unstable"',
    test: {
      file: receipts,
      name: "a homeserver that does not say that it takes receipts gets none, which is said once, and everything else works",
    },
  },
  {
    name: "receipt-delays-an-answer",
    breaks: "no answer waits for a receipt",
    file: "src/pipeline/sender.ts",
    find: 'this.yields ? this.ports.outbox.nextAttemptAt("response") : null;',
    replace: 'this.ports.outbox.nextAttemptAt(this.yields ? "response" : "receipt");',
    test: { file: receipts, name: "receipts that hang hold up no answer, in the same room or another" },
  },
  {
    name: "notice-twice",
    breaks: "a room is told once what the bot does there",
    file: "src/journal/outbox.ts",
    find: "finished_at < ? AND lane <> 'notice'",
    replace: "finished_at < ?",
    test: {
      file: "test/unit/journal/outbox.test.ts",
      name: "a room that was told once is never told again, however long ago it was",
    },
  },
  {
    name: "notice-under-another-transaction",
    breaks: "a notice whose reply was lost arrives once",
    file: "src/pipeline/sender.ts",
    find: "await homeserver.send(event, entry.txnId, signal)",
    replace: "await homeserver.send(event, `${entry.txnId}${clock.now()}` as typeof entry.txnId, signal)",
    test: { file: rooms, name: "a notice whose reply is lost in a kill is not said twice" },
  },
  {
    name: "notice-before-leaving",
    breaks: "nothing is said in a room that the bot is leaving",
    file: "src/rooms/residence.ts",
    find: "      !except.has(roomId) && !this.leaving.has(roomId) && !this.attempts.has(roomId);",
    replace: "      !except.has(roomId) || roomId !== null;",
    test: {
      file: rooms,
      name: "a public room whose invitation hides that it is one is left as soon as it is seen, before anything is said there",
    },
  },
  {
    name: "public-room-joined",
    breaks: "public rooms are joined only where the operator allows it",
    file: "src/rooms/invitePolicy.ts",
    find: 'invite.joinRule === "public" && !policy.publicRooms',
    replace: 'invite.joinRule === "public" && policy.publicRooms',
    test: { file: rooms, name: "a public room is not joined, and joined where the operator allows it" },
  },
  {
    name: "invitations-without-a-limit",
    breaks: "no more invitations are accepted within an hour than the operator allows",
    file: "src/journal/invites.ts",
    find: 'this.database.prepare("INSERT INTO accepted_invites (accepted_at) VALUES (?)").run(at);',
    replace: "void at;",
    test: {
      file: rooms,
      name: "beyond so many within an hour invitations wait, also over a restart, and are not lost",
    },
  },
  {
    name: "empty-room-left-unasked",
    breaks: "the bot does not leave a room in which somebody still is",
    file: "src/rooms/residence.ts",
    find: 'if (reason === "alone" && !(await this.isAlone(roomId))) return rooms.notAlone(roomId);',
    replace: 'if (reason === "alone" && (await this.isAlone(roomId)) === null) return rooms.notAlone(roomId);',
    test: {
      file: rooms,
      name: "before a room is left for being empty the homeserver is asked, and somebody who is there after all keeps the bot",
    },
  },
  {
    name: "more-than-is-understood",
    breaks: "nothing is said to be understood that a handler would not take",
    file: "src/handlers/registry.ts",
    find: "some((handler) => implies(content, handler.match ?? []));",
    replace: "some((handler) => implies(content, []) || handler);",
    test: {
      file: "test/unit/handlers/registry.test.ts",
      name: "is only what the handler takes every event of: a requirement must be part of the question",
    },
  },
  {
    name: "profile-written-each-time",
    breaks: "the profile is written only when what is understood has changed",
    file: "src/rooms/advertisement.ts",
    find: "if (isDeepStrictEqual(published, wanted ?? undefined)) {",
    replace: "if (published === wanted) {",
    test: {
      file: "test/integration/capabilities.test.ts",
      name: "the profile says what is understood; it is written when that has changed, and only then",
    },
  },
  {
    name: "all-notices-at-once",
    breaks: "notices in many rooms leave room for answers in the account's limit",
    file: "src/pipeline/sender.ts",
    find: "if (this.yields) this.noteNotice();",
    replace: "if (this.ports === undefined) this.noteNotice();",
    test: {
      file: "test/unit/pipeline/sender.test.ts",
      name: "of many notices a few are sent, and the rest a minute later: answers need what the account may send",
    },
  },
  {
    name: "ready-while-nothing-is-written",
    breaks: "the bot is not ready while it can't write",
    file: "src/ops/healthChecks.ts",
    find: "if (now - lastWriteAt > WRITE_TOO_OLD_MS)",
    replace: "if (now < lastWriteAt)",
    test: {
      file: "test/unit/ops/healthChecks.test.ts",
      name: "writing: a probe that has not come for half a minute is noticed",
    },
  },
  {
    name: "ready-while-stopping",
    breaks: "a bot that stops is not ready",
    file: "src/ops/readiness.ts",
    find: 'if (phase === "stopping") return "The bot is stopping.";',
    replace: 'if (phase === "stopping") return null;',
    test: {
      file: "test/unit/ops/readiness.test.ts",
      name: "a bot that starts is not ready though all its checks are well, and one that stops is not either",
    },
  },
  {
    name: "broken-file-takes-the-handlers-away",
    breaks: "a configuration with mistakes changes nothing in a bot that runs",
    file: "src/config/prepareHandlers.ts",
    find: "if (problems.length > 0) throw new ConfigError(problems);",
    replace: "if (problems.length > 0) return [];",
    test: {
      file: "test/integration/reload.test.ts",
      name: "a handler that can't be prepared any more is refused, and the one that runs stays",
    },
  },
  {
    name: "any-token-will-do",
    breaks: "health and metrics are for those who have the token",
    file: "src/ops/app.ts",
    find: "return timingSafeEqual(digest(given), digest(token.reveal()));",
    replace: 'return given !== "" && timingSafeEqual(digest(given), digest(given));',
    test: {
      file: "test/unit/ops/app.test.ts",
      name: "where there is a token, nothing is answered without it, not even what there is",
    },
  },
  {
    name: "control-for-everybody",
    breaks: "only the owner of the data directory's files can control the bot",
    file: "src/ops/controlSocket.ts",
    find: 'chmodSync(join(nursery, "s"), 0o600);',
    replace: 'chmodSync(join(nursery, "s"), 0o666);',
    test: {
      file: "test/unit/ops/controlSocket.test.ts",
      name: "nobody else can connect at any moment of its making, whatever the process's umask",
    },
  },
  {
    name: "image-as-root",
    breaks: "the image runs the bot without rights",
    file: "Dockerfile",
    find: "USER 10001:10001",
    replace: "USER root",
    test: { file: packaging, name: "runs the bot under a number that is nobody's, never as root" },
  },
  {
    name: "image-with-development",
    breaks: "the image holds nothing of the development",
    file: "Dockerfile",
    find: "npm ci --omit=dev ",
    replace: "npm ci ",
    test: { file: image, name: "holds the packages that the bot needs, and none of the development" },
  },
  {
    name: "image-with-sources",
    breaks: "the image has nothing to compile",
    file: "scripts/trimDependencies.ts",
    find: '["binding.gyp", "deps", "src"]',
    replace: '["binding.gyp", "src"]',
    test: { file: image, name: "has no compiler, nothing to compile, and no package manager" },
  },
  {
    name: "image-without-notices",
    breaks: "the image carries the licence of everything in it",
    file: "scripts/trimDependencies.ts",
    find: "new Set(sources.flatMap(",
    replace: "new Set([].flatMap(",
    test: { file: image, name: "carries the licence of everything in it, that of the sources of its binary too" },
  },
  {
    name: "data-not-the-bots",
    breaks: "the image's bot can write its data directory",
    file: "Dockerfile",
    find: "RUN mkdir -m 0700 docket && chown 10001:10001 docket",
    replace: "RUN mkdir -m 0755 docket",
    test: { file: image, name: "lets the bot write its data directory, and nothing else" },
  },
  {
    name: "token-to-the-builder",
    breaks: "nothing private goes to the builder of the image",
    file: ".dockerignore",
    find: "!tsconfig.json",
    replace: "!deployment/",
    test: { file: packaging, name: "holds back whatever is private: data, tokens, configurations, history" },
  },
  {
    name: "unit-restarts-mistakes",
    breaks: "systemd does not start again what somebody has to mend first",
    file: "packaging/systemd/docket.service",
    find: "RestartPreventExitStatus=64 73 77 78",
    replace: "RestartPreventExitStatus=64 73 77",
    test: {
      file: packaging,
      name: "does not start again what somebody has to mend first: the codes of docs/errors.md",
    },
  },
  {
    name: "withdrawn-notice-sent",
    breaks: "a notice is said in the words that count when it is sent",
    file: "src/pipeline/sender.ts",
    find: 'entry.content["body"] !== this.ports.notice()) return',
    replace: 'entry.content["body"] === null) return',
    test: {
      file: "test/unit/pipeline/sender.test.ts",
      name: "a notice is not tried again in words that do not count any more, and its room is to be told",
    },
  },
  {
    name: "kick-covered-up",
    breaks: "what is known of a room is not from before a kick that one sync covered up",
    file: "src/journal/accept.ts",
    find: "    rooms.noteInvited(invite.roomId);",
    replace: "",
    test: {
      file: "test/unit/journal/invites.test.ts",
      name: "an invitation to a room that we were in says that we are out, and a join of one that was renewed counts",
    },
  },
  {
    name: "proxy-passed-by",
    breaks: "all requests go through the proxy that is named",
    file: "src/matrix/outwardConnections.ts",
    find: "if (proxy === null) this.straight(target, callback);",
    replace: "if (proxy === null || proxy.port > 0) this.straight(target, callback);",
    test: {
      file: proxies,
      name: "goes through a tunnel to the name that the proxy looks up, and the proxy sees nothing of it",
    },
  },
  {
    name: "proxy-refusal-doubtful",
    breaks: "what a proxy refused was never sent",
    file: "src/matrix/proxyFailure.ts",
    find: "{ doubtful: false }",
    replace: "{ doubtful: true }",
    test: { file: proxies, name: "asks for credentials: the error says where to put them" },
  },
  {
    name: "tunnel-left-behind",
    breaks: "after close() no socket is left",
    file: "src/matrix/outwardConnections.ts",
    find: "{ secureContext, signal: closing.signal }",
    replace: "{ secureContext, signal: new AbortController().signal }",
    test: {
      file: proxies,
      name: "close() leaves no tunnel, neither an idle one, nor one that is used, nor one that is still asked for",
    },
  },
  {
    name: "authorities-in-place-of-nodes",
    breaks: "a private authority is trusted beside those that Node knows",
    file: "src/matrix/outwardConnections.ts",
    find: 'ca: [...getCACertificates("default"), ...certificates]',
    replace: "ca: [...getCACertificates().slice(0, 0), ...certificates]",
    test: { file: proxies, name: "takes nothing away from what Node trusts, NODE_EXTRA_CA_CERTS included" },
  },
  {
    name: "proxy-password-shown",
    breaks: "a proxy's password stands in no output",
    file: "src/config/proxyServer.ts",
    find: "origin: url.origin,",
    replace: "origin: url.href,",
    test: {
      file: "test/unit/config/network.test.ts",
      name: "a password of a proxy is never printed, and a change of it is found all the same",
    },
  },
  {
    name: "no-proxy-by-end-alone",
    breaks: "NO_PROXY exempts a host and what is below it, and no other that ends alike",
    file: "src/config/noProxy.ts",
    find: "host.endsWith(`.${name}`)",
    replace: "host.endsWith(name)",
    test: {
      file: "test/unit/config/noProxy.test.ts",
      name: "a name covers itself and all below it, with a dot or a star before it or not, in any case",
    },
  },
];
