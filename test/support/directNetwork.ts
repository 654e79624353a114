/** Settings of a network without proxies and private authorities. */
import { noProxies, type NetworkSettings } from "../../src/config/network.ts";

export const directNetwork: NetworkSettings = {
  proxies: noProxies,
  certificateAuthorities: { file: null, certificates: [] },
};
