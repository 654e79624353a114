/** Uploading and downloading files, the latter as of version 1.11 of the specification: with the access token. No previews, no thumbnails. */
import type { Media, Upload } from "./media.ts";
import { Answer, param, type Router } from "./router.ts";

const DOWNLOAD = "/_matrix/client/v1/media/download/:serverName/:mediaId";

export function addMediaRoutes(router: Router, { media }: { readonly media: Media }): void {
  for (const path of ["/_matrix/client/v1/media/config", "/_matrix/media/v3/config"])
    router.on("GET", path, () => ({ "m.upload.size": media.largestBytes }));
  router.on("POST", "/_matrix/media/v3/upload", ({ session, body, contentType, query }) => {
    const { uri } = media.store({
      uploader: session.userId,
      bytes: body,
      contentType: contentType ?? "application/octet-stream",
      fileName: query.get("filename"),
    });
    return { content_uri: uri };
  });
  for (const path of [DOWNLOAD, `${DOWNLOAD}/:fileName`])
    router.on("GET", path, (call) => {
      const upload = media.get(param(call, "serverName"), param(call, "mediaId"));
      return new Answer(200, upload.bytes, headers(upload, call.params["fileName"] ?? upload.fileName));
    });
}

/** What Synapse would show inline goes as an attachment here too: nobody looks. */
function headers({ contentType }: Upload, fileName: string | null): Record<string, string> {
  const name = fileName === null ? "" : `; filename*=utf-8''${encodeURIComponent(fileName)}`;
  return { "Content-Type": contentType, "Content-Disposition": `attachment${name}` };
}
