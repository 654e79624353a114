/** Synapse's `register_new_matrix_user`, as its package has it: `node registerUser.ts ROOT ARGUMENT...`. */
import { startPython } from "../unpackedPython.ts";

const [root = "", ...args] = process.argv.slice(2);
const module = ["-m", "synapse._scripts.register_new_matrix_user"];
const cwd = process.cwd();
const command = startPython(root, { args: [...module, ...args], cwd, stdout: "inherit", stderr: "inherit" });
command.once("exit", (code) => process.exit(code ?? 1));
