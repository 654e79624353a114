/** The sender's requests go the way that the bot's go: through the forward proxy that the environment names, if it names one. */
import { EnvHttpProxyAgent, setGlobalDispatcher } from "undici";

/**
 * From here on `fetch` in this process obeys `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`; not for a homeserver on this machine, which
 * no proxy leads back to.
 */
export function useEnvironmentProxy(baseUrl: string): void {
  const { hostname } = new URL(baseUrl);
  if (!["127.0.0.1", "localhost", "[::1]"].includes(hostname)) setGlobalDispatcher(new EnvHttpProxyAgent());
}
