// What workers ask to be allowed.

import type { PermissionRequest } from '../../../protocol/generated/protocol';

/** The tool of questions about hosts of the network. */
const NETWORK_TOOL = 'Network';

/** Whether a question is about a host of the network, which alone can be allowed for always. */
export function isAboutHost({ tool }: PermissionRequest): boolean {
  return tool === NETWORK_TOOL;
}

/** The questions that are open, in the order they came. */
export class Inbox {
  readonly #open = new Map<string, PermissionRequest>();

  get all(): readonly PermissionRequest[] {
    return [...this.#open.values()];
  }

  has(id: string): boolean {
    return this.#open.has(id);
  }

  /** Takes a question; whether it is a new one. */
  add(request: PermissionRequest): boolean {
    const isNew = !this.#open.has(request.id);
    // Asked again by another worker: the same question with more tasks.
    this.#open.set(request.id, request);
    return isNew;
  }

  /** It was answered or is not asked any more. */
  remove(id: string): void {
    this.#open.delete(id);
  }

  /** Everything that is open, as the server lists it. */
  replace(requests: readonly PermissionRequest[]): void {
    this.#open.clear();
    for (const request of requests) {
      this.#open.set(request.id, request);
    }
  }
}
