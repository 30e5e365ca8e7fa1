// Deciding what is pending, and moving through it.

import * as vscode from 'vscode';

import type { HunkView } from '../../../../protocol/generated/protocol';
import { goalFor, wants, type App, type Commands } from '../app';
import { client } from '../ids';
import { between, ways } from '../model/conflict';
import { hunksOn, isConflict, nextLine } from '../model/hunks';
import { asOpened } from '../folders';
import type { Node } from '../model/nodes';
import { goalOf } from '../model/store';
import { telling } from '../ui/errors';
import { command } from '../wire';

const { t } = vscode.l10n;

/** Commands around what is pending. */
export function reviewCommands(app: App): Commands {
  const send = (name: string, argument: object) =>
    telling(() => app.server.command<unknown>(name, argument));
  const onGoal =
    (name: string, fits: (typeof wants)[keyof typeof wants]) => async (node?: Node) => {
      const goalId = await goalFor(app, node, fits);
      if (goalId !== undefined) {
        await send(name, { goalId });
      }
    };
  const onTask = (name: string) => async (node?: Node) => {
    const task = node?.kind === 'task' ? node : await chooseTask(app);
    if (task) {
      await send(name, { goalId: task.goal, taskId: task.task });
    }
  };
  const onFile = (name: string) => async (node?: Node) => {
    for (const { goal, uri } of filesFor(app, node)) {
      await send(name, { goalId: goal, uri });
    }
  };
  return {
    [client.accept]: async (node?: Node) => {
      for (const hunk of here(app, node, () => true)) {
        // There is no accepting both sides: it is asked which.
        await (isConflict(hunk)
          ? telling(() => resolve(app, hunk))
          : send(command.acceptHunk, { hunkId: hunk.id }));
      }
    },
    [client.reject]: async (node?: Node) => {
      for (const hunk of here(app, node, () => true)) {
        await send(command.rejectHunk, { hunkId: hunk.id });
      }
    },
    [client.rejectWithReason]: async (node?: Node) => {
      const found = here(app, node, () => true);
      const reason = found.length > 0 ? await why(t('Reason for rejecting')) : undefined;
      for (const hunk of reason === undefined ? [] : found) {
        await send(command.rejectHunk, { hunkId: hunk.id, ...said(reason) });
      }
    },
    [client.acceptGoal]: onGoal(command.accept, wants.undecided),
    [client.rejectGoal]: onGoal(command.reject, wants.undecided),
    [client.undoLanding]: onGoal(command.undo, wants.landed),
    [client.redo]: onGoal(command.redo, wants.undone),
    [client.acceptTask]: onTask(command.accept),
    [client.rejectTask]: onTask(command.reject),
    [client.acceptFile]: onFile(command.accept),
    [client.rejectFile]: onFile(command.reject),
    [client.undo]: async (node?: Node) => {
      if (node?.kind === 'landing') {
        await send(command.undoHunk, { hunkId: node.hunk });
      }
    },
    [client.resolve]: (node?: Node) => {
      const [hunk] = here(app, node, isConflict);
      return hunk && telling(() => resolve(app, hunk));
    },
    [client.next]: () => move(app, 1),
    [client.previous]: () => move(app, -1),
    [client.toggle]: () => app.review.toggle(),
    [client.open]: (node?: Node) => telling(() => open(app, node)),
    [client.diff]: (node?: Node) => {
      const [hunk] = here(app, node, () => true);
      return hunk && telling(() => app.diffs.hunk(hunk.id));
    },
    [client.diffFile]: (node?: Node) => telling(() => diffFile(app, node)),
    [client.showChanges]: async (node?: Node) => {
      const goal = await goalFor(app, node, wants.undecided);
      return goal === undefined ? undefined : telling(() => app.diffs.goal(goal));
    },
    // The server names it: it asks why, and goes on with the answer.
    [client.reason]: async (asked: { prompt: string; command: string; argument: object }) => {
      const reason = await why(asked.prompt);
      if (reason !== undefined) {
        await send(asked.command, { ...asked.argument, ...said(reason) });
      }
    },
  };
}

/** The user's words; nothing where they give up. */
function why(prompt: string): Thenable<string | undefined> {
  return vscode.window.showInputBox({ prompt });
}

function said(reason: string | undefined): { reason?: string } {
  const words = reason?.trim() ?? '';
  return words === '' ? {} : { reason: words };
}

/** The hunks a command is for: that of an entry of the view, else those at the cursor. */
function here(app: App, node: Node | undefined, fits: (hunk: HunkView) => boolean): HunkView[] {
  if (node?.kind === 'hunk') {
    const hunk = app.store.hunk(node.hunk)?.hunk;
    return hunk ? [hunk] : [];
  }
  const editor = vscode.window.activeTextEditor;
  const hunks = app.store.document(editor?.document.uri.toString() ?? '')?.hunks ?? [];
  const { start, end } = editor?.selection ?? new vscode.Selection(0, 0, 0, 0);
  const lines = editor?.document.lineCount ?? 0;
  const found = hunksOn(hunks, start.line, end.line, lines).filter(fits);
  if (found.length === 0) {
    void vscode.window.showInformationMessage(t('No pending change on this line.'));
  }
  return found;
}

/** The files a command is for: that of an entry, else the one in front, for each goal that changes it. */
function filesFor(app: App, node: Node | undefined): { goal: string; uri: string }[] {
  if (node?.kind === 'file') {
    return [{ goal: node.goal, uri: node.uri }];
  }
  const uri = vscode.window.activeTextEditor?.document.uri.toString() ?? '';
  const goals = new Set((app.store.document(uri)?.hunks ?? []).map(goalOf));
  if (goals.size === 0) {
    void vscode.window.showInformationMessage(t('No pending changes in this file.'));
  }
  return [...goals].map((goal) => ({ goal, uri }));
}

async function chooseTask(app: App): Promise<{ goal: string; task: string } | undefined> {
  const goal = await goalFor(app, undefined, wants.undecided);
  const view = goal === undefined ? undefined : await app.store.view(goal);
  const items = view?.tasksDetail.map(({ id, title }) => ({ label: title, description: id, id }));
  const chosen = items && (await vscode.window.showQuickPick(items));
  return chosen && goal !== undefined ? { goal, task: chosen.id } : undefined;
}

async function resolve(app: App, hunk: HunkView): Promise<void> {
  const offered = ways(hunk, await app.store.view(goalOf(hunk)));
  const chosen = await vscode.window.showQuickPick(offered, { title: between(hunk) });
  if (!chosen) {
    return;
  }
  const { resolution } = chosen;
  const asks = resolution.kind === 'repair';
  const reason = asks ? await why(t('Describe how to combine both sides')) : '';
  if (reason !== undefined) {
    const argument = { hunkId: hunk.id, resolution, ...said(reason) };
    await app.server.command(command.resolveHunk, argument);
  }
}

/** Moves to the next hunk of the text, or the one before. */
function move(app: App, direction: 1 | -1): void {
  const editor = vscode.window.activeTextEditor;
  const hunks = app.store.document(editor?.document.uri.toString() ?? '')?.hunks ?? [];
  const count = editor?.document.lineCount ?? 0;
  const line = nextLine(hunks, editor?.selection.active.line ?? 0, direction, count);
  if (!editor || line === undefined) {
    void vscode.window.showInformationMessage(t('No pending changes in this file.'));
    return;
  }
  const at = new vscode.Position(line, 0);
  editor.selection = new vscode.Selection(at, at);
  editor.revealRange(
    new vscode.Range(at, at),
    vscode.TextEditorRevealType.InCenterIfOutsideViewport,
  );
}

/** Opens the place of a hunk, or the file of a landing. */
async function open(app: App, node: Node | undefined): Promise<void> {
  if (node?.kind === 'landing') {
    const view = await app.store.view(node.goal);
    const path = view?.decided?.[node.n]?.path;
    if (view && path !== undefined) {
      const file = vscode.Uri.joinPath(vscode.Uri.file(view.workspace), path).toString();
      await vscode.window.showTextDocument(vscode.Uri.parse(asOpened(file), true));
    }
    return;
  }
  const found = node?.kind === 'hunk' ? app.store.hunk(node.hunk) : undefined;
  if (!found) {
    return;
  }
  if (found.hunk.whole) {
    return app.diffs.hunk(found.hunk.id);
  }
  const at = new vscode.Position(found.hunk.startLine, 0);
  const selection = new vscode.Range(at, at);
  await vscode.window.showTextDocument(vscode.Uri.parse(found.uri, true), { selection });
}

async function diffFile(app: App, node: Node | undefined): Promise<void> {
  for (const { goal, uri } of filesFor(app, node)) {
    const hunks = app.store.document(uri)?.hunks.filter((hunk) => goalOf(hunk) === goal) ?? [];
    if (hunks.length === 0) {
      await vscode.window.showTextDocument(vscode.Uri.parse(uri, true));
    } else {
      await app.diffs.file(
        goal,
        uri,
        hunks.find((hunk) => hunk.whole),
      );
    }
  }
}
