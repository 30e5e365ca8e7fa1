// The connection to the server: finding it, starting and stopping it, and asking it.

import { homedir } from 'node:os';

import * as vscode from 'vscode';
import { LanguageClient, State, type ConfigurationParams } from 'vscode-languageclient/node';

import type {
  Changes,
  PendingContent,
  PendingContentParams,
  DocumentChanges,
  ErrorBody,
  StreamItem,
} from '../../../protocol/generated/protocol';
import { findServer, type Found, type Trouble } from './lookup';
import { forServer, setting } from './settings';
import { GoalProgress } from './ui/progress';
import { method, OURS, SECTION } from './wire';

/** How the connection stands. */
export type Status =
  | { readonly kind: 'stopped' }
  | { readonly kind: 'starting' }
  | { readonly kind: 'running'; readonly found: Found }
  | { readonly kind: 'trouble'; readonly trouble: Trouble | { kind: 'failed'; why: string } };

/** Runs a command of the server that a lens, a light bulb or another extension asked for. */
export type Run = (name: string, argument: unknown) => Promise<unknown>;

/** An error as the server sends it. */
export class ServerError extends Error {
  constructor(readonly body: ErrorBody) {
    super(body.message);
  }

  /** What is wrong and what to do, in one line. */
  get sentence(): string {
    const { message, hint } = this.body;
    return hint ? `${message.replace(/\.$/, '')}. ${capital(hint)}.` : message;
  }
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Makes a server's error of whatever a request was refused with. */
export function asServerError(error: unknown): ServerError {
  if (error instanceof ServerError) {
    return error;
  }
  const data = (error as { data?: Partial<ErrorBody> } | undefined)?.data;
  if (typeof data?.message === 'string') {
    return new ServerError({ kind: data.kind ?? 'internal', ...data, message: data.message });
  }
  const message = error instanceof Error ? error.message : String(error);
  return new ServerError({ kind: 'internal', message });
}

/** The server, as long as this window is open. */
export class Server implements vscode.Disposable {
  readonly #statusChanged = new vscode.EventEmitter<Status>();
  readonly #events = new vscode.EventEmitter<StreamItem>();
  readonly #pending = new vscode.EventEmitter<DocumentChanges>();
  readonly #context: vscode.ExtensionContext;
  readonly #log: vscode.LogOutputChannel;
  readonly #run: Run;
  #client: LanguageClient | undefined;
  #status: Status = { kind: 'stopped' };
  /** One start or stop after the other. */
  #turn: Promise<void> = Promise.resolve();

  /** How the connection stands has changed. */
  readonly onDidChangeStatus = this.#statusChanged.event;
  /** What happens to goals. */
  readonly onEvent = this.#events.event;
  /** One document's pending hunks have changed or moved. */
  readonly onPending = this.#pending.event;

  /** `run` runs commands of the server that somebody else than this client asked for. */
  constructor(context: vscode.ExtensionContext, log: vscode.LogOutputChannel, run: Run) {
    this.#context = context;
    this.#log = log;
    this.#run = run;
  }

  get status(): Status {
    return this.#status;
  }

  start(): Promise<void> {
    return this.#after(() => this.#start());
  }

  restart(): Promise<void> {
    return this.#after(async () => {
      await this.#stop();
      await this.#start();
    });
  }

  stop(): Promise<void> {
    return this.#after(() => this.#stop());
  }

  dispose(): void {
    void this.stop();
    this.#statusChanged.dispose();
    this.#events.dispose();
    this.#pending.dispose();
  }

  /** Runs a command of the server. */
  async command<T>(name: string, argument: object): Promise<T> {
    return this.#ask('workspace/executeCommand', { command: name, arguments: [argument] });
  }

  /** Pending hunks of all documents, or of one. */
  async changes(uri: string | null): Promise<DocumentChanges[]> {
    const { documents } = await this.#ask<Changes>(method.changes, { uri });
    return documents;
  }

  /** One text of a pending file; `null` where it does not exist or is no text. */
  async content(params: PendingContentParams): Promise<string | null> {
    const { text } = await this.#ask<PendingContent>(method.content, params);
    return text;
  }

  async #ask<T>(what: string, params: object): Promise<T> {
    // What is asked while the server starts is asked once it has.
    await this.#turn;
    const client = this.#client;
    if (client?.state !== State.Running) {
      throw new ServerError({
        kind: 'environment',
        message: vscode.l10n.t('the ClaudeCluster server is not running'),
        hint: vscode.l10n.t('run “ClaudeCluster: Restart Server”'),
      });
    }
    try {
      return await client.sendRequest<T>(what, params);
    } catch (error) {
      throw asServerError(error);
    }
  }

  #after(work: () => Promise<void>): Promise<void> {
    this.#turn = this.#turn.then(work, work);
    return this.#turn;
  }

  async #start(): Promise<void> {
    if (this.#client) {
      return;
    }
    this.#set({ kind: 'starting' });
    const extension = this.#context.extension;
    const { version } = extension.packageJSON as { version: string };
    const found = await findServer({
      setting: setting('server.path'),
      env: process.env,
      extension: this.#context.extensionPath,
      version,
      platform: process.platform,
    });
    if (!('version' in found)) {
      this.#set({ kind: 'trouble', trouble: found });
      return;
    }
    this.#log.info(`server: ${found.path} (${found.source}), version ${found.version}`);
    const client = this.#make(found);
    this.#client = client;
    client.onDidChangeState(({ newState }) => this.#follow(client, found, newState));
    client.onNotification(method.event, (item: StreamItem) => this.#events.fire(item));
    client.onNotification(method.pending, (told: DocumentChanges) => this.#pending.fire(told));
    try {
      await client.start();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#set({ kind: 'trouble', trouble: { kind: 'failed', why } });
    }
  }

  #make(found: Found): LanguageClient {
    // Not in the workspace: nothing there shall be picked up by name.
    const options = { cwd: homedir() };
    const run = { command: found.path, args: ['lsp'], options };
    const client = new LanguageClient(SECTION, 'ClaudeCluster', run, {
      documentSelector: [{ scheme: 'file' }, { scheme: 'untitled' }],
      initializationOptions: OURS,
      outputChannel: this.#log,
      markdown: { supportHtml: false },
      middleware: {
        executeCommand: (name, args: unknown[]) => this.#run(name, args[0]),
        // With the problems of the whole document, which goals about all like one are made of.
        provideCodeActions: (document, range, context, token, next) =>
          next(
            document,
            range,
            { ...context, diagnostics: vscode.languages.getDiagnostics(document.uri) },
            token,
          ),
        workspace: {
          configuration: async (params: ConfigurationParams, token, next) => {
            const sections = await next(params, token);
            return Array.isArray(sections) ? sections.map(forServer) : sections;
          },
        },
      },
    });
    client.registerFeature(new GoalProgress(client, () => setting('progress')));
    return client;
  }

  #follow(client: LanguageClient, found: Found, state: State): void {
    if (client !== this.#client) {
      return;
    }
    switch (state) {
      case State.Running: {
        this.#set({ kind: 'running', found });
        return;
      }
      case State.Starting: {
        this.#set({ kind: 'starting' });
        return;
      }
      case State.Stopped: {
        this.#set({ kind: 'stopped' });
        return;
      }
    }
  }

  async #stop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    this.#set({ kind: 'stopped' });
    if (client) {
      // What it is refused with when it has already ended says nothing to anybody.
      await client.dispose().catch((error: unknown) => this.#log.debug(String(error)));
    }
  }

  #set(status: Status): void {
    this.#status = status;
    this.#statusChanged.fire(status);
  }
}
