// Puts the parts together.

import * as vscode from 'vscode';

import type { DocumentChanges } from '../../../protocol/generated/protocol';
import { isTrusted, type App, type Commands } from './app';
import { Server } from './client';
import { goalCommands, submit } from './commands/goals';
import { reviewCommands } from './commands/review';
import { Reports, serverCommands } from './commands/server';
import { asOpened, folderName, folderOf } from './folders';
import { Store } from './model/store';
import { Announcer } from './ui/announce';
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
      changes: async (uri) => (await running.changes(uri)).map(here),
    },
    (workspace) => folderOf(workspace) !== undefined,
    (error) => log.warn(String(error)),
  );
  const permissions: Permissions = new Permissions(running, store, () => changed());
  const sources = {
    store,
    permissions: () => permissions.inbox.all,
    now: () => Date.now(),
    folder: folderName,
  };
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
  const drafts = new Drafts((prompt, scope) => submit(app, { prompt, scope }));
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

function here(told: DocumentChanges): DocumentChanges {
  return { ...told, uri: asOpened(told.uri) };
}

/** Takes what the server tells. */
function follow(app: App, status: StatusItems): vscode.Disposable[] {
  const { server, store, permissions, review, diffs } = app;
  const announcer = new Announcer(store);
  // Questions are of goals that are known.
  const load = () => telling(() => store.load().then(() => permissions.load()));
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
      void telling(() => announcer.onEvent(item));
      if ('type' in item && item.type === 'reviewed') {
        diffs.refresh();
      }
    }),
    server.onPending((named) => {
      const told = here(named);
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
  return Object.entries(commands).map(([name, run]) => {
    const work = run as (...args: unknown[]) => unknown;
    return vscode.commands.registerCommand(name, (...args: unknown[]) => {
      // The editor finds no entry below one that its view draws anew at this moment, and does not tell which
      // it was. What is at the cursor is not meant.
      if (work.length > 0 && args.length > 0 && args[0] == null) {
        const changed = vscode.l10n.t('The view has changed. Try again.');
        return vscode.window.showInformationMessage(changed);
      }
      return work(...args);
    });
  });
}
