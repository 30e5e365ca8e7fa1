// Puts the parts together.

import * as vscode from 'vscode';

import { isTrusted, type App, type Commands } from './app';
import { Server } from './client';
import { goalCommands, submit } from './commands/goals';
import { reviewCommands } from './commands/review';
import { Reports, serverCommands } from './commands/server';
import { Store } from './model/store';
import { announce } from './ui/announce';
import { Claims } from './ui/claims';
import { Diffs } from './ui/diff';
import { telling } from './ui/errors';
import { Permissions } from './ui/permissions';
import { Plans } from './ui/plan';
import { Drafts, History } from './ui/prompt';
import { Review } from './ui/review';
import { StatusItems } from './ui/status';
import { GoalsView } from './ui/tree';
import { tellTrouble } from './ui/trouble';
import { command } from './wire';

let server: Server | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const began = performance.now();
  const log = vscode.window.createOutputChannel('ClaudeCluster', { log: true });
  const running: Server = new Server(context, log, (name, argument) => run(app, name, argument));
  server = running;
  const store = new Store(
    {
      goals: () => running.command(command.goals, {}),
      goal: (goalId) => running.command(command.goal, { goalId }),
      changes: (uri) => running.changes(uri),
    },
    isOurs,
    (error) => log.warn(String(error)),
  );
  const permissions: Permissions = new Permissions(running, () => changed());
  const sources = { store, permissions: () => permissions.inbox.all, now: () => Date.now() };
  const app: App = {
    server: running,
    store,
    view: new GoalsView(sources),
    review: new Review(store, context.extensionUri, log),
    diffs: new Diffs(running, store),
    plans: new Plans(store, context.extensionUri),
    permissions,
    history: new History(context.workspaceState),
    log,
  };
  const claims = new Claims(store, context.extensionUri);
  const status = new StatusItems(store, () => permissions.inbox.all.length);
  const drafts = new Drafts((prompt, origin) => {
    const { uri, range } = origin;
    const scope = uri === undefined ? {} : { scope: { uris: [uri], ...(range ? { range } : {}) } };
    return submit(app, { prompt, ...scope });
  });
  const reports = new Reports();

  function changed(): void {
    app.view.changed();
    app.plans.refresh();
    claims.refresh();
    status.draw();
  }

  context.subscriptions.push(
    log,
    running,
    app.view,
    app.review,
    app.diffs,
    app.plans,
    claims,
    status,
    drafts,
    reports,
    { dispose: store.subscribe(changed) },
    ...follow(app, status),
    ...register({
      ...goalCommands(app, drafts),
      ...reviewCommands(app),
      ...serverCommands(app, reports, context.extensionUri),
    }),
  );
  void running.start();
  log.info(`activated in ${(performance.now() - began).toFixed(1)} ms`);
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}

/** Whether a goal is of a folder of this window. */
function isOurs(workspace: string): boolean {
  const folders = vscode.workspace.workspaceFolders ?? [];
  return folders.some((folder) => folder.uri.fsPath === workspace);
}

/** Takes what the server tells. */
function follow(app: App, status: StatusItems): vscode.Disposable[] {
  const { server, store, permissions, review, diffs } = app;
  const load = () => telling(() => Promise.all([store.load(), permissions.load()]));
  return [
    server.onDidChangeStatus((now) => {
      status.set(now);
      const ready = now.kind === 'running';
      void vscode.commands.executeCommand('setContext', 'claudecluster.ready', ready);
      if (ready) {
        void load().then(() => review.all());
      } else if (now.kind === 'trouble') {
        void tellTrouble(now.trouble);
      } else {
        store.clear();
        review.all();
      }
    }),
    server.onEvent((item) => {
      store.onEvent(item);
      permissions.onEvent(item);
      void telling(() => announce(item, store));
      if ('type' in item && item.type === 'reviewed') {
        diffs.refresh();
      }
    }),
    server.onPending((told) => {
      store.onPending(told);
      review.onPending(told);
      diffs.refresh(told.uri);
    }),
    vscode.workspace.onDidChangeWorkspaceFolders(() => void load()),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration('claudecluster.server')) {
        void server.restart();
      }
    }),
  ];
}

/** Runs a command that a lens, a light bulb or another extension asked for. What went wrong is told. */
function run(app: App, name: string, argument: unknown): Promise<unknown> {
  if (name === command.diffHunk) {
    const { hunkId } = argument as { hunkId: string };
    return telling(() => app.diffs.hunk(hunkId));
  }
  if (name === command.submit) {
    return submit(app, argument as object);
  }
  if (name === command.retry || name === command.approve) {
    return isTrusted().then((trusted) =>
      trusted ? telling(() => app.server.command(name, argument as object)) : undefined,
    );
  }
  return telling(() => app.server.command(name, argument as object));
}

function register(commands: Commands): vscode.Disposable[] {
  return Object.entries(commands).map(([name, run]) =>
    vscode.commands.registerCommand(name, run as (...args: unknown[]) => unknown),
  );
}
