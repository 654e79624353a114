/** Which crypto library runs: a store that another version wrote is copied before it is changed. */
import { getVersions, initAsync } from "@matrix-org/matrix-sdk-crypto-wasm";

/** @returns such as `matrix_sdk_crypto 0.14.0` */
export async function cryptoLibraryVersion(): Promise<string> {
  await initAsync();
  const versions = getVersions();
  try {
    return `matrix_sdk_crypto ${versions.matrix_sdk_crypto}`;
  } finally {
    versions.free();
  }
}
