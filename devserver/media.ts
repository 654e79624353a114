/** Uploaded files, in memory. `DevServer.media` shows them to tests. */
import { randomBytes } from "node:crypto";
import type { Stream } from "./changes.ts";
import { MatrixError, notFound } from "./matrixError.ts";

export interface Upload {
  readonly mediaId: string;
  /** `mxc://` and so on. */
  readonly uri: string;
  readonly uploader: string;
  readonly bytes: Buffer;
  readonly contentType: string;
  readonly fileName: string | null;
}

/** Synapse's default. */
const LARGEST_BYTES = 52_428_800;

export class Media {
  readonly #uploads = new Map<string, Upload>();
  readonly #stream: Stream;
  readonly #serverName: string;
  /** The largest file that is taken, in bytes. */
  largestBytes: number;

  constructor(stream: Stream, serverName: string, largestBytes = LARGEST_BYTES) {
    this.#stream = stream;
    this.#serverName = serverName;
    this.largestBytes = largestBytes;
  }

  /** In order of arrival. */
  all(): readonly Upload[] {
    return [...this.#uploads.values()];
  }

  /** As a server does that keeps files for a time only. */
  forget(mediaId: string): void {
    this.#uploads.delete(mediaId);
  }

  /** @throws MatrixError 413 `M_TOO_LARGE` */
  store(file: Omit<Upload, "mediaId" | "uri">): Upload {
    if (file.bytes.length > this.largestBytes)
      throw new MatrixError(413, "M_TOO_LARGE", "Upload request body is too large");
    const mediaId = randomBytes(18).toString("base64url");
    const upload = { ...file, mediaId, uri: `mxc://${this.#serverName}/${mediaId}` };
    this.#uploads.set(mediaId, upload);
    this.#stream.touch();
    return upload;
  }

  /** @throws MatrixError `M_NOT_FOUND`, also for files of other servers: none can be asked */
  get(serverName: string, mediaId: string): Upload {
    const upload = serverName === this.#serverName ? this.#uploads.get(mediaId) : undefined;
    if (upload === undefined) throw notFound("Not found");
    return upload;
  }
}
