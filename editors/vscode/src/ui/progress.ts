// The progress of goals, with a button to cancel where the user wants to see one.

import * as vscode from 'vscode';
import {
  WorkDoneProgress,
  WorkDoneProgressCancelNotification,
  WorkDoneProgressCreateRequest,
  type ClientCapabilities,
  type FeatureState,
  type LanguageClient,
  type ProgressToken,
  type StaticFeature,
  type WorkDoneProgressBegin,
  type WorkDoneProgressEnd,
  type WorkDoneProgressReport,
} from 'vscode-languageclient/node';

import { plain } from '../model/words';

type Value = WorkDoneProgressBegin | WorkDoneProgressReport | WorkDoneProgressEnd;

/** One goal's progress, from the request for a token to its end. */
class Shown {
  readonly #listener: vscode.Disposable;
  #progress: vscode.Progress<{ message?: string; increment?: number }> | undefined;
  #percentage = 0;
  readonly #ended: Promise<void>;
  #end: () => void = () => {};

  constructor(
    readonly client: LanguageClient,
    readonly token: ProgressToken,
    readonly where: () => 'statusBar' | 'notification',
    readonly done: (shown: Shown) => void,
  ) {
    this.#ended = new Promise((end) => (this.#end = end));
    this.#listener = client.onProgress(WorkDoneProgress.type, token, (value: Value) => {
      if (value.kind === 'begin') {
        this.#begin(value);
      } else if (value.kind === 'report') {
        this.#report(value);
      } else {
        this.end();
      }
    });
  }

  end(): void {
    this.#listener.dispose();
    this.#end();
    this.done(this);
  }

  #begin(value: WorkDoneProgressBegin): void {
    const location =
      this.where() === 'notification'
        ? vscode.ProgressLocation.Notification
        : vscode.ProgressLocation.Window;
    const options = {
      location,
      title: plain(value.title),
      cancellable: value.cancellable ?? false,
    };
    void vscode.window.withProgress(options, async (progress, cancelled) => {
      this.#progress = progress;
      this.#report(value);
      cancelled.onCancellationRequested(() => {
        const token = this.token;
        void this.client.sendNotification(WorkDoneProgressCancelNotification.type, { token });
      });
      await this.#ended;
    });
  }

  #report({ message, percentage = this.#percentage }: { message?: string; percentage?: number }) {
    const increment = Math.max(0, percentage - this.#percentage);
    this.#percentage += increment;
    this.#progress?.report({
      increment,
      ...(message === undefined ? {} : { message: plain(message) }),
    });
  }
}

/** Takes the place of the library's own, which shows no button. */
export class GoalProgress implements StaticFeature {
  readonly #shown = new Set<Shown>();

  constructor(
    readonly client: LanguageClient,
    readonly where: () => 'statusBar' | 'notification',
  ) {}

  getState(): FeatureState {
    const id = WorkDoneProgressCreateRequest.method;
    return { kind: 'window', id, registrations: this.#shown.size > 0 };
  }

  fillClientCapabilities(capabilities: ClientCapabilities): void {
    capabilities.window = { ...capabilities.window, workDoneProgress: true };
  }

  initialize(): void {
    this.client.onRequest(WorkDoneProgressCreateRequest.type, ({ token }) => {
      this.#shown.add(new Shown(this.client, token, this.where, (it) => this.#shown.delete(it)));
    });
  }

  clear(): void {
    for (const shown of [...this.#shown]) {
      shown.end();
    }
  }
}
