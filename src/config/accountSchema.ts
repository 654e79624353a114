/** The part of the configuration's schema that says who the bot is. */
import { z } from "zod";
import { secret, spacedSecret, userId } from "./leaves.ts";

export const account = z
  .strictObject({
    user: userId("The bot's user ID, in quotes."),
    token: secret(
      "The bot's access token, as ${env:NAME} or ${file:PATH}. Without one, the device counts that `docket login` has signed in.",
    ).optional(),
    recovery_key: spacedSecret(
      "The recovery key of the account's secret storage, as ${file:PATH} or ${env:NAME}. A file that does not exist is written when Docket makes the key.",
    ).optional(),
    password: spacedSecret(
      "The account's password, as ${env:NAME} or ${file:PATH}: only for a homeserver that asks for it when the identity is made.",
    ).optional(),
    create_identity: z.boolean().default(true).meta({
      description:
        "Whether the first start makes a cross-signing identity, secret storage and a key backup where the account has none.",
    }),
  })
  .meta({ description: "The bot's account." });
