// Asks again when something has changed, without asking twice at once.

/** Work by key. While it goes on for a key, however many calls for it lead to one more round. */
export class Coalesced<K> {
  readonly #going = new Map<K, { again: boolean; done: Promise<void> }>();

  constructor(
    readonly work: (key: K) => Promise<void>,
    readonly failed: (error: unknown) => void,
  ) {}

  /** Ends once work that began after this call has ended. */
  async run(key: K): Promise<void> {
    const going = this.#going.get(key);
    if (going) {
      going.again = true;
      return going.done;
    }
    const entry = { again: true, done: Promise.resolve() };
    this.#going.set(key, entry);
    entry.done = (async () => {
      while (entry.again) {
        entry.again = false;
        try {
          await this.work(key);
        } catch (error) {
          this.failed(error);
        }
      }
      this.#going.delete(key);
    })();
    return entry.done;
  }
}
