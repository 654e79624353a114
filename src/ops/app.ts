/**
 * What is answered over HTTP: health, readiness and metrics on the address of `operations.listen`, and on the control socket those and
 * what changes the running bot. Guarantees: nothing without the token where there is one; only counts, times, codes and sentences,
 * never a body, a token or a key; a failure in here is answered and logged, and ends nothing.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { Hono, type Context } from "hono";
import type { Secret } from "../config/secret.ts";
import { DocketError } from "../errors.ts";
import type { Logger } from "../logging.ts";
import type { DoctorReport } from "./doctor/finding.ts";
import type { HealthReport } from "./readiness.ts";
import type { ReloadOutcome } from "./reloader.ts";

export interface AppPorts {
  readonly report: () => HealthReport;
  /** In the text format of Prometheus. */
  readonly metrics: () => Promise<string>;
  readonly log: Logger;
}

/** Of a body that nobody reads. */
const LARGEST_BODY_BYTES = 1_024;
const PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8";

/** @param token asked for with each request; null where whoever can connect may ask */
export function createApp(ports: AppPorts, token: Secret | null): Hono {
  return appWith(ports, token, []);
}

/**
 * Whoever can open the socket's file may ask for all of it.
 * @param device work on the signed-in device, and the answers to what it asks
 */
export function createControlApp(
  ports: AppPorts,
  {
    reload,
    doctor,
    device,
  }: { reload: () => Promise<ReloadOutcome>; doctor: () => Promise<DoctorReport>; device: readonly Route[] },
): Hono {
  return appWith(ports, null, [
    ...device,
    { method: "GET", path: "/doctor", answer: async (context) => context.json(await doctor()) },
    {
      method: "POST",
      path: "/reload",
      answer: async (context) => {
        const outcome = await reload();
        return context.json(outcome, outcome.kind === "reloaded" ? 200 : 422);
      },
    },
  ]);
}

export interface Route {
  readonly method: "GET" | "POST";
  readonly path: string;
  /** How long a body it reads, in bytes; by default it reads none. */
  readonly bodyBytes?: number;
  readonly answer: (context: Context) => Response | Promise<Response>;
}

function appWith({ report, metrics, log }: AppPorts, token: Secret | null, more: readonly Route[]): Hono {
  const routes: readonly Route[] = [
    { method: "GET", path: "/healthz", answer: (context) => context.text("ok\n") },
    {
      method: "GET",
      path: "/readyz",
      answer: (context) => {
        const health = report();
        return context.json(health, health.ready ? 200 : 503);
      },
    },
    {
      method: "GET",
      path: "/metrics",
      answer: async (context) => context.body(await metrics(), 200, { "Content-Type": PROMETHEUS_TEXT }),
    },
    ...more,
  ];
  const list = `There is: ${routes.map(({ method, path }) => `${method} ${path}`).join(", ")}.\n`;

  const app = new Hono();
  app.use(async (context, next) => {
    await next();
    context.header("Cache-Control", "no-store");
  });
  app.use(async (context, next) => {
    if (token === null || isAllowed(context.req.header("Authorization"), token)) return await next();
    context.header("WWW-Authenticate", 'Bearer realm="docket"');
    return context.text(
      "A token is needed: Authorization: Bearer, and the operations.token of the configuration.\n",
      401,
    );
  });
  for (const { method, path, answer, bodyBytes } of routes) {
    app.use(path, async (context, next) => {
      const { req } = context;
      const isSmall = Number(req.header("Content-Length") ?? 0) <= (bodyBytes ?? LARGEST_BODY_BYTES);
      if (isSmall && req.header("Transfer-Encoding") === undefined) return await next();
      const limit = bodyBytes === undefined ? "takes no body" : `takes a body of at most ${bodyBytes} bytes`;
      return context.text(`${path} ${limit}.\n`, 413, { Connection: "close" });
    });
    app.on(method, path, answer);
    app.all(path, (context) => {
      context.header("Allow", method === "GET" ? "GET, HEAD" : method);
      return context.text(`${path} takes ${method} only.\n`, 405);
    });
  }
  app.notFound((context) => context.text(list, 404));
  app.onError((error, context) => {
    const code = error instanceof DocketError ? error.code : "BUG";
    log.error({ code, path: context.req.routePath }, "an operations request failed");
    return context.text(`This failed (${code}); the bot's log says more.\n`, 500);
  });
  return app;
}

/** In constant time: how much of a guess was right can't be measured. */
function isAllowed(header: string | undefined, token: Secret): boolean {
  const given = /^Bearer +(.*)$/i.exec(header ?? "")?.[1] ?? "";
  return timingSafeEqual(digest(given), digest(token.reveal()));
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
