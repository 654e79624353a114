/** The value of `network.proxy`. It may hold a password: a message shows its type only. */
import type { z } from "zod";
import { leaf } from "./leaves.ts";
import { parseProxyServer, type ProxyServer } from "./proxyServer.ts";

export type ProxySetting = "environment" | ProxyServer | null;

/** @param source what names the proxy, for people. @returns null for `false` */
export function proxySetting(description: string, source: string): z.ZodType<ProxySetting, unknown> {
  return leaf<ProxySetting>(
    (found) => {
      if (found === false) return { value: null };
      if (found === "environment") return { value: found };
      const parsed = typeof found === "string" ? parseProxyServer(found, source) : null;
      if (parsed !== null && "proxy" in parsed) return { value: parsed.proxy };
      const expected = "environment, false, or the address of a proxy such as http://proxy.example.org:3128";
      return { expected, ...(parsed === null ? {} : { hint: parsed.hint }) };
    },
    { anyOf: [{ const: false }, { type: "string", minLength: 1 }], description },
    true,
  );
}
