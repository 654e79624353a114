/**
 * A real Synapse for tests and the demo, on 127.0.0.1, with data of its own that go when it stops. It ends with the process that
 * started it, however that one ends.
 */
import { prepareSynapse } from "./synapsePackages.ts";
import { startSynapseIn, type Synapse, type SynapseOptions } from "./synapseServer.ts";

/**
 * Gets the packages where they are missing, and starts a server.
 * @param options.say is told what takes long before the start; by default standard error is
 * @throws Error there are no packages that work, or it did not start, with the end of its log
 */
export async function startSynapse(
  options: SynapseOptions & { readonly say?: (line: string) => void } = {},
): Promise<Synapse> {
  const { root } = await prepareSynapse(options.say === undefined ? {} : { say: options.say });
  return await startSynapseIn(root, options);
}
