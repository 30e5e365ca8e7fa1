// What the extension tells the picture of a plan, and what comes back.

/** A task in the picture. */
export interface PictureTask {
  readonly id: string;
  readonly title: string;
  /** For the style. */
  readonly state: string;
  /** For people. */
  readonly stateWords: string;
  readonly detail: string;
  readonly instructions: string;
  readonly column: number;
  readonly row: number;
  readonly dependsOn: readonly string[];
  readonly actions: readonly Action[];
}

/** A button below the picture. */
export interface Action {
  readonly name: ActionName;
  readonly title: string;
}

export type ActionName = 'approve' | 'edit' | 'cancel' | 'retry' | 'changes' | 'accept' | 'log';

/** The whole picture. */
export interface Picture {
  readonly goal: string;
  readonly title: string;
  readonly state: string;
  readonly empty: string;
  readonly tasks: readonly PictureTask[];
  readonly actions: readonly Action[];
}

/** What the user does in it. */
export type Said =
  | { readonly said: 'ready' }
  | { readonly said: 'do'; readonly action: ActionName; readonly task?: string };
