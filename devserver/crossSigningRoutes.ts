/** Uploading a cross-signing identity and signatures; and what a user must prove before an identity is replaced. */
import type { JsonObject } from "../src/protocol/json.ts";
import type { ServerParts } from "./parts.ts";
import { Answer, jsonBody, type Router } from "./router.ts";
import { uploadSignatures } from "./signatureUpload.ts";

const V3 = "/_matrix/client/v3";

export function addCrossSigningRoutes(router: Router, parts: ServerParts): void {
  const { accounts, crossSigning, interactiveAuth } = parts;

  const approval = (): string | null => {
    if (typeof crossSigning.auth === "object") return crossSigning.auth.approvalAt;
    const metadata = accounts.tokens.delegate?.metadata();
    return metadata === undefined ? null : String(metadata["account_management_uri"] ?? metadata["issuer"]);
  };

  router.on("POST", `${V3}/keys/device_signing/upload`, (call) => {
    const body = jsonBody(call);
    const { userId } = call.session;
    const always = crossSigning.auth === "always";
    if (!always && !crossSigning.differs(userId, body)) return {};
    if (always || crossSigning.isSetUp(userId)) {
      const approveAt = approval();
      if (approveAt === null) {
        const challenge = interactiveAuth.challenge(call, body, "device_signing/upload");
        if (challenge !== null) return challenge;
      } else if (!crossSigning.isReplaceable(userId)) return new Answer(401, JSON.stringify(notApproved(approveAt)));
    }
    crossSigning.upload(userId, body);
    return {};
  });
  router.on("POST", `${V3}/keys/signatures/upload`, (call) =>
    uploadSignatures(parts, call.session.userId, jsonBody(call)),
  );
}

/** As Synapse behind the Matrix Authentication Service: the shape of user-interactive authentication, but no session of it. */
function notApproved(managementUrl: string): JsonObject {
  const url = `${managementUrl}?action=org.matrix.cross_signing_reset`;
  return {
    session: "dummy",
    flows: [{ stages: ["m.oauth"] }, { stages: ["org.matrix.cross_signing_reset"] }],
    params: { "m.oauth": { url }, "org.matrix.cross_signing_reset": { url } },
    msg: `To reset your end-to-end encryption cross-signing identity, you first need to approve it at ${url} and then try again.`,
  };
}
