/** Runs tasks under one name strictly one after the other, in the order in which they were asked for. */
export class OneAtATime {
  readonly #tails = new Map<string, Promise<void>>();

  /** Resolves or rejects as `task` does; a failed task does not stop the next. */
  async run<Result>(name: string, task: () => Promise<Result>): Promise<Result> {
    const before = this.#tails.get(name) ?? Promise.resolve();
    const result = before.then(task);
    const tail = result.then(
      () => undefined,
      () => undefined,
    );
    this.#tails.set(name, tail);
    try {
      return await result;
    } finally {
      if (this.#tails.get(name) === tail) this.#tails.delete(name);
    }
  }
}
