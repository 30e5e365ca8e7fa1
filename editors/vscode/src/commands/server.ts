// The server itself: its log, its start, what it finds on this machine; and the plan.

import { execFile } from 'node:child_process';

import * as vscode from 'vscode';

import { goalFor, wants, type App, type Commands } from '../app';
import { client } from '../ids';
import type { Node } from '../model/nodes';
import { telling } from '../ui/errors';
import { tellTrouble } from '../ui/trouble';
import { command } from '../wire';

const { t } = vscode.l10n;

const REPORTS = 'claudecluster-report';

/** What a program of ours has printed, in a document that cannot be changed. */
export class Reports implements vscode.TextDocumentContentProvider, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<vscode.Uri>();
  readonly #texts = new Map<string, string>();
  readonly #registration = vscode.workspace.registerTextDocumentContentProvider(REPORTS, this);

  readonly onDidChange = this.#changed.event;

  dispose(): void {
    this.#registration.dispose();
    this.#changed.dispose();
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.#texts.get(uri.path) ?? '';
  }

  async show(name: string, text: string): Promise<void> {
    const uri = vscode.Uri.from({ scheme: REPORTS, path: `/${name}` });
    this.#texts.set(uri.path, text);
    this.#changed.fire(uri);
    await vscode.window.showTextDocument(uri, { preview: true });
  }
}

/** Commands around the server and plans. */
export function serverCommands(app: App, reports: Reports, extension: vscode.Uri): Commands {
  const report = async (name: string, args: string[]) => {
    const { status } = app.server;
    if (status.kind !== 'running') {
      if (status.kind === 'trouble') {
        await tellTrouble(status.trouble);
      }
      return;
    }
    const said = await run(status.found.path, args);
    await reports.show(name, said);
  };
  return {
    [client.logs]: () => app.log.show(),
    [client.restart]: () => telling(() => app.server.restart()),
    [client.doctor]: () => {
      const front = vscode.window.activeTextEditor?.document.uri;
      const folder =
        (front && vscode.workspace.getWorkspaceFolder(front)) ??
        vscode.workspace.workspaceFolders?.[0];
      const where = folder ? ['--workspace', folder.uri.fsPath] : [];
      return report(t('Doctor'), ['doctor', ...where]);
    },
    [client.readme]: async () => {
      // Packaging changes its name.
      const files = await vscode.workspace.fs.readDirectory(extension);
      const [name = ''] = files.find(([name]) => name.toLowerCase() === 'readme.md') ?? [];
      const readme = vscode.Uri.joinPath(extension, name);
      return vscode.commands.executeCommand('markdown.showPreview', readme);
    },
    [client.taskLog]: async (node?: Node) => {
      const goal = await goalFor(app, node, wants.any);
      if (goal !== undefined) {
        const task = node?.kind === 'task' ? [node.task] : [];
        await report([goal, ...task, t('Log')].join(' '), ['logs', goal, ...task]);
      }
    },
    [client.answer]: (node?: Node) =>
      app.permissions.ask(node?.kind === 'permission' ? node.request : undefined),
    [client.showPlan]: async (node?: Node) => {
      const goal = await goalFor(app, node, wants.any);
      return goal === undefined ? undefined : telling(() => app.plans.show(goal));
    },
    [client.editPlan]: async (node?: Node) => {
      const goalId = await goalFor(app, node, wants.awaiting);
      return goalId === undefined ? undefined : telling(() => editPlan(app, goalId));
    },
  };
}

/** The plan as a document; approving it there approves what it says. */
async function editPlan(app: App, goalId: string): Promise<void> {
  const { uri } = await app.server.command<{ uri: string }>(command.openPlan, { goalId });
  await vscode.window.showTextDocument(vscode.Uri.parse(uri, true));
}

/** What a program prints on both its outputs, whatever its exit status. */
function run(program: string, args: string[]): Promise<string> {
  return new Promise((done) => {
    const env = { ...process.env, NO_COLOR: '1' };
    execFile(program, args, { env, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      const failed = error && stdout === '' && stderr === '' ? error.message : '';
      done(`${stdout}${stderr}${failed}`);
    });
  });
}
