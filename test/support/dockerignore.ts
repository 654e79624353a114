/** What of a folder goes to the builder of an image: `.dockerignore` as builders read it. */

/** @param file text of `.dockerignore`. @returns whether a path of the folder, with `/` between its parts, goes to the builder */
export function contextFilter(file: string): (path: string) => boolean {
  const rules = file
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => ({ keeps: line.startsWith("!"), pattern: patternOf(line.replace(/^!/, "")) }));
  return (path) => {
    const parts = path.split("/");
    const selfAndFolders = parts.map((_, index) => parts.slice(0, index + 1).join("/"));
    // The last line that fits the path, or a folder that it is in, decides.
    const last = rules.findLast(({ pattern }) => selfAndFolders.some((each) => pattern.test(each)));
    return last === undefined || last.keeps;
  };
}

function patternOf(line: string): RegExp {
  if (/[[\]\\]|\.\./.test(line)) throw new Error(`.dockerignore: ${line}: classes, escapes and .. are not read here`);
  const clean = line.trim().replace(/^\/+/, "").replace(/\/+$/, "");
  const body = clean.replaceAll(/\*\*\/|\*\*|\*|\?|[.+^${}()|]/g, (found) => {
    if (found === "**/") return "(?:.*/)?";
    if (found === "**") return ".*";
    if (found === "*") return "[^/]*";
    return found === "?" ? "[^/]" : `\\${found}`;
  });
  return new RegExp(`^${body}$`);
}
