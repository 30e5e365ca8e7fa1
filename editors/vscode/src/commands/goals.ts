// Stating goals and steering them.

import * as vscode from 'vscode';

import type { ScopeArgs, SubmitArgs, SubmittedGoal } from '../../../../protocol/generated/protocol';
import { goalFor, isTrusted, wants, type App, type Commands } from '../app';
import { client, GOALS_VIEW } from '../ids';
import { folderName } from '../folders';
import type { Node } from '../model/nodes';
import { goalState, goalTitle, joined, money } from '../model/words';
import { askForGoal, type Drafts, type Place } from '../ui/prompt';
import { telling } from '../ui/errors';
import { command } from '../wire';

const { t } = vscode.l10n;

/** What is sent: keys with a default may be left out. */
type Submit = Partial<SubmitArgs>;

/** States a goal; whether it is stated. */
export async function submit(app: App, args: Submit): Promise<boolean> {
  if (!(await isTrusted())) {
    return false;
  }
  const began = performance.now();
  const answer = await telling(() => app.server.command<SubmittedGoal>(command.submit, args));
  if (!answer) {
    return false;
  }
  app.log.debug(`goal accepted in ${(performance.now() - began).toFixed(1)} ms`);
  // What a message is answered with may come much later.
  void telling(() => told(app, args, answer));
  return true;
}

async function told(app: App, args: Submit, answer: SubmittedGoal): Promise<void> {
  if (answer.duplicateOf) {
    const again = t('Start Again');
    const show = t('Show');
    const same = t('{0} already has this goal and is still open.', answer.duplicateOf);
    const chosen = await vscode.window.showInformationMessage(same, show, again);
    if (chosen === again) {
      await submit(app, { ...args, again: true });
    } else if (chosen === show) {
      await app.view.reveal(answer.duplicateOf);
    }
    return;
  }
  if (args.prompt) {
    await app.history.add(args.prompt);
  }
  vscode.window.setStatusBarMessage(`$(rocket) ${t('Started {0}.', answer.goalId)}`, 5000);
}

/** What a goal from a place is about, as far as the settings do not say; nothing where the user gives up. */
async function scopeOf({ uri, range }: Place): Promise<ScopeArgs | undefined> {
  if (uri !== undefined) {
    return { uris: [uri], ...(range ? { range } : {}) };
  }
  const folders = vscode.workspace.workspaceFolders ?? [];
  const front = vscode.window.activeTextEditor?.document.uri;
  const at = front && vscode.workspace.getWorkspaceFolder(front);
  const folder =
    at ?? (folders.length > 1 ? await vscode.window.showWorkspaceFolderPick() : folders[0]);
  if (!folder) {
    return folders.length > 1 ? undefined : {};
  }
  const isOpen = vscode.workspace.textDocuments.some(
    ({ uri }) => uri.scheme === 'file' && vscode.workspace.getWorkspaceFolder(uri) === folder,
  );
  const which = at ? front : folder.uri;
  return {
    ...(folders.length > 1 ? { uris: [which.toString()] } : {}),
    // A goal about the open documents needs one.
    ...(isOpen ? {} : { kind: 'workspace' }),
  };
}

/** Commands around goals. */
export function goalCommands(app: App, drafts: Drafts): Commands {
  const ask = async (origin: Place, where: string) => {
    if (!(await isTrusted())) {
      return;
    }
    const scope = await scopeOf(origin);
    const answer = scope && (await askForGoal(app.history, where));
    if (answer && 'draft' in answer) {
      await drafts.open(answer.draft, scope);
    } else if (answer) {
      await submit(app, { prompt: answer.prompt, scope });
    }
  };
  const send = (name: string, fits: (typeof wants)[keyof typeof wants]) => async (node?: Node) => {
    const goalId = await goalFor(app, node, fits);
    if (goalId === undefined) {
      return;
    }
    const task = node?.kind === 'task' ? { taskId: node.task } : {};
    await telling(() => app.server.command(name, { goalId, ...task }));
  };
  const trusted = (work: (node?: Node) => Promise<void>) => async (node?: Node) =>
    (await isTrusted()) ? work(node) : undefined;
  return {
    [client.newGoal]: () => ask({}, t('New Goal')),
    [client.newGoalFromSelection]: () => {
      const editor = vscode.window.activeTextEditor;
      return editor
        ? ask(selected(editor), t('New Goal about the Selection'))
        : ask({}, t('New Goal'));
    },
    [client.prompt]: (origin: Place) => ask(origin, t('New Goal about the Selection')),
    [client.stateDraft]: () => drafts.stateFront(),
    [client.fix]: () => telling(() => fix()),
    [client.goals]: () => telling(() => pick(app)),
    [client.refresh]: () => telling(() => app.store.load()),
    [client.approvePlan]: trusted((node) => approve(app, node)),
    [client.cancel]: send(command.cancel, wants.active),
    [client.retry]: trusted(send(command.retry, wants.any)),
  };
}

/** Lets a plan run as it was shown, or a task of it that is paused. */
async function approve(app: App, node: Node | undefined): Promise<void> {
  const goalId = await goalFor(app, node, wants.awaiting);
  if (goalId === undefined) {
    return;
  }
  const plan = app.store.goal(goalId)?.view?.plan;
  // Refused where the goal has another plan by now.
  const shown = plan ? { shown: plan } : {};
  const what = node?.kind === 'task' ? { taskId: node.task } : shown;
  await telling(() => app.server.command(command.approve, { goalId, ...what }));
}

function selected(editor: vscode.TextEditor): Place {
  const { start, end, isEmpty } = editor.selection;
  // A selection that ends before the first character of a line does not take that line in.
  const past = end.character > 0 || isEmpty ? end.line + 1 : end.line;
  const range = { startLine: start.line, endLine: past };
  return { uri: editor.document.uri.toString(), range };
}

/** Offers what the server would state as a goal for the place of the cursor. */
async function fix(): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  const actions = editor
    ? await vscode.commands.executeCommand<vscode.CodeAction[]>(
        'vscode.executeCodeActionProvider',
        editor.document.uri,
        editor.selection,
      )
    : [];
  const fixes = actions.filter((action) => action.command?.command === command.submit);
  if (fixes.length === 0) {
    const nothing = t('Nothing to fix here.');
    void vscode.window.showInformationMessage(nothing);
    return;
  }
  const items = fixes.map((action) => ({ label: action.title, action }));
  const [only] = items;
  const chosen = items.length === 1 ? only : await vscode.window.showQuickPick(items);
  const chosenCommand = chosen?.action.command;
  if (chosenCommand) {
    const args = (chosenCommand.arguments ?? []) as unknown[];
    await vscode.commands.executeCommand(chosenCommand.command, ...args);
  }
}

/** Shows the view, or a list where there is something to choose from. */
async function pick(app: App): Promise<void> {
  const { goals } = app.store;
  if (goals.length === 0) {
    await vscode.commands.executeCommand(`${GOALS_VIEW}.focus`);
    return;
  }
  const items = goals.map(({ summary }) => ({
    label: `${summary.id}: ${goalTitle(summary)}`,
    description: joined([
      folderName(summary.workspace),
      goalState(summary.state),
      money(summary.costUsd),
    ]),
    goal: summary.id,
  }));
  const options = { placeHolder: t('Goals'), matchOnDescription: true };
  const chosen = await vscode.window.showQuickPick(items, options);
  if (chosen) {
    await app.view.reveal(chosen.goal);
  }
}
