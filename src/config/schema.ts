/**
 * The configuration's schema: one source for the types, the errors and the JSON Schema for editors. Every key has a description;
 * docs/configuration.md and config.sample.yaml are held to it by tests. Only what works today is in it.
 */
import { z } from "zod";
import { account } from "./accountSchema.ts";
import { encryption } from "./encryptionSchema.ts";
import { dialectNames } from "../protocol/dialects.ts";
import {
  contentKey,
  count,
  duration,
  homeserverAddress,
  inviterPattern,
  listenAddress,
  path,
  secret,
  size,
  switchOrWords,
  typePattern,
  unlessFalse,
  words,
} from "./leaves.ts";
import { proxySetting } from "./proxySetting.ts";
import type { StepKindSchema } from "./stepKindSchema.ts";
import { stepSchema } from "./stepSchema.ts";

export const DEFAULT_DATA_DIRECTORY = "./data";

const SECOND_MS = 1_000;
const DAY_MS = 86_400_000;
const YEAR_MS = 365 * DAY_MS;

const network = z
  .strictObject({
    proxy: proxySetting(
      "The HTTP proxy that all requests go through: `environment` takes HTTPS_PROXY and HTTP_PROXY; an address, best as ${env:NAME} or ${file:PATH} if it holds a password; false: none. NO_PROXY counts in each case.",
      "network.proxy",
    ).prefault("environment"),
    certificate_authorities: path(
      "A PEM file with certificates of authorities that are trusted beside those that Node knows.",
      "the path of a PEM file such as ./ca.pem",
    ).optional(),
  })
  .prefault({})
  .meta({ description: "The way to the homeserver: proxies and certificate authorities." });

const invites = z
  .strictObject({
    accept: z
      .array(
        inviterPattern(
          'A user, or all users of a server, with * for any characters: "@alice:example.org", "@*:example.org", "example.org".',
        ),
      )
      .default([])
      .meta({ description: "Whose invites are accepted. Empty: nobody's." }),
    public_rooms: z
      .boolean()
      .default(false)
      .meta({ description: "Whether invites to rooms that anybody may join are accepted." }),
    max_rooms: count("Rooms that the bot may be in; invites to more are not accepted.", 1_000_000).default(500),
    max_per_hour: count("Invites that are accepted within an hour; further ones wait.", 1_000_000).default(20),
    decline: switchOrWords(
      "What becomes of an invite that is not accepted: false leaves it alone; true declines it and says why; a text is said after the reason.",
      { longest: 500 },
    ).prefault(false),
    notice: unlessFalse(
      words("The notice.", { longest: 4_000 }),
      "Said once in each room that the bot is in; false for silence. By default that a record is kept, unless none is.",
    ).optional(),
  })
  .prefault({})
  .meta({ description: "Invites to rooms." });

const rooms = z
  .strictObject({
    leave_when_alone: unlessFalse(
      duration("How long.", { minMs: 0, maxMs: 10 * YEAR_MS }),
      "How long the bot stays in a room where nobody else is, nor is invited; false: for ever.",
    ).prefault("7d"),
  })
  .prefault({})
  .meta({ description: "Rooms that the bot is in." });

const responses = z
  .strictObject({
    dialects: z
      .array(z.enum(dialectNames))
      .default([...dialectNames])
      .meta({
        description:
          "The dialects of status requests that are answered; the first one wins where an event has several. Empty: no request is answered.",
        uniqueItems: true,
      }),
    default_lifetime: duration("How long a request that names no lifetime can be answered.", {
      minMs: SECOND_MS,
      maxMs: YEAR_MS,
    }).prefault("90s"),
    max_lifetime: duration("The longest lifetime that a request can ask for; longer ones are cut to it.", {
      minMs: SECOND_MS,
      maxMs: YEAR_MS,
    }).prefault("24h"),
    send_margin: duration(
      "No attempt to send an answer starts later than this before the end of the lifetime. Handlers end twice this before it.",
      {
        minMs: 0,
        maxMs: 60 * SECOND_MS,
      },
    ).prefault("500ms"),
    unknown_types: z.enum(["error", "addressed", "ignore"]).default("error").meta({
      description:
        "A request whose event type no handler takes: answer with an error, only if it is addressed to this device (`addressed`), or not at all.",
    }),
    warn_untrusted: z.boolean().default(false).meta({
      description: "Whether the answer to a request from a device that its owner has not cross-signed says so.",
    }),
  })
  .prefault({})
  .meta({ description: "Answers to status requests (MSC4300)." });

const receipts = z
  .strictObject({
    rooms: z.enum(["none", "private_encrypted", "private", "all"]).default("private_encrypted").meta({
      description:
        "In which rooms senders get a receipt for each event that was received and decrypted. Private: not everybody may join.",
    }),
    prefer_stable: z.boolean().default(false).meta({
      description: "Whether the receipt type m.delivery is tried before org.matrix.msc4089.delivery.",
    }),
  })
  .prefault({})
  .meta({ description: "Delivery receipts (MSC4089), where the homeserver supports them." });

const capabilities = z
  .strictObject({
    advertise: z.boolean().default(true).meta({
      description: "Whether the handled event types are published in the bot's profile (MSC4401).",
    }),
  })
  .prefault({})
  .meta({ description: "What the bot says that it understands." });

const record = z
  .strictObject({
    types: z
      .array(typePattern("An event type, or the beginning of one with * at its end."))
      .default(["*"])
      .meta({ description: "Event types to record, before any handler and whatever it decides. Empty: nothing." }),
  })
  .prefault({})
  .meta({ description: "The record of what was received." });

const limits = z
  .strictObject({
    handlers: count("Handlers that run at once.", 1_000).default(8),
    handlers_per_room: count("Handlers that run at once for one room.", 1_000).default(2),
    inbox: count(
      "Events that may wait for their turn; then the bot stops reading from the homeserver until there is room.",
      1_000_000_000,
    ).default(1_000_000),
    parked: count("Events that may wait for a key.", 100_000_000).default(50_000),
    free_disk: size("With less free disk space than this the bot stops. 0 switches the check off.").prefault("512MiB"),
    settled_rows: duration("How long the journal keeps the bodies of events that are done.", {
      minMs: 0,
      maxMs: 10 * YEAR_MS,
    }).prefault("7d"),
    shutdown_grace: duration("How long running work may take to finish when the bot is stopped.", {
      minMs: 0,
      maxMs: 600 * SECOND_MS,
    }).prefault("10s"),
  })
  .prefault({})
  .meta({ description: "Bounds on memory, disk and work in flight." });

const operations = z
  .strictObject({
    listen: unlessFalse(
      listenAddress("An address and a port."),
      "Where health and metrics are served over HTTP; port 0 takes any free one; false: nowhere.",
    ).prefault("127.0.0.1:9464"),
    token: secret(
      "Asked for as a bearer token, as ${env:NAME} or ${file:PATH}; required where others than this machine can connect.",
    ).optional(),
  })
  .prefault({})
  .meta({ description: "Health, metrics, control." });

function handlers(stepKinds: readonly StepKindSchema[]) {
  const handler = z.strictObject({
    types: z
      .array(
        typePattern(
          "An event type, or the beginning of one with * at its end. An exact type goes before a pattern, a longer pattern before a shorter one.",
        ),
      )
      .min(1)
      .meta({ description: "The event types that this handler takes." }),
    match: z
      .array(
        z.strictObject({
          key: contentKey("Where in the content: names with dots between them, \\. for a dot in a name."),
          value: z.string().meta({ description: "The text that must stand there, exactly." }),
        }),
      )
      .min(1)
      .optional()
      .meta({
        description:
          "What the content must have for this handler, all of it; other events go on to the next that fits.",
      }),
    ordered: z
      .boolean()
      .default(false)
      .meta({ description: "Handle the events of one room one after the other, in the order of their arrival." }),
    steps: z
      .array(stepSchema(stepKinds))
      .min(1)
      .meta({ description: "What is done with an event, in this order; the first error ends the list." }),
  });
  return z
    .array(handler)
    .default([])
    .meta({ description: "What is done with which event types. A type pattern stands in one handler only." });
}

/** @param stepKinds the kinds of steps that handlers may use */
export function configSchema(stepKinds: readonly StepKindSchema[]) {
  return z
    .strictObject({
      homeserver: homeserverAddress("Base address of the homeserver, such as https://matrix.example.org."),
      account,
      data: z
        .strictObject({
          directory: path(
            "Where journal, records and keys are kept. One process owns it. Relative to the configuration file.",
          ).prefault(DEFAULT_DATA_DIRECTORY),
        })
        .prefault({})
        .meta({ description: "What is kept on disk." }),
      network,
      encryption,
      invites,
      rooms,
      responses,
      receipts,
      capabilities,
      record,
      handlers: handlers(stepKinds),
      limits,
      operations,
      log: z
        .enum(["debug", "info", "warn", "error", "silent"])
        .default("info")
        .meta({ description: "The least important log lines that are written." }),
    })
    .meta({ title: "Configuration of Docket" });
}

export type ParsedConfig = z.output<ReturnType<typeof configSchema>>;

/** JSON Schema (2020-12) of what may stand in the file, for editors. */
export function configJsonSchema(stepKinds: readonly StepKindSchema[]): Record<string, unknown> {
  return z.toJSONSchema(configSchema(stepKinds), { io: "input", unrepresentable: "any", target: "draft-2020-12" });
}
