// A real VS Code in a real browser, for tests: its server on loopback with the extension in it, and a page
// of Chromium that is driven with keys and the mouse.

import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { glob, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { promisify } from 'node:util';

/** How long anything may take that a machine with other work on it is asked for. */
const PATIENCE = 120_000;

/** After how long something is tried again. A click or a key is lost where a list is drawn anew under it. */
const STEP = 5_000;

const { chromium } = createRequire(path.join(part('VSCODE'), 'package.json'))('playwright-core');

/** A part that `cargo xtask test` provides. */
export function part(name) {
  const variable = `CLAUDECLUSTER_TEST_${name}`;
  const value = process.env[variable];
  if (!value) {
    throw new Error(`${variable} is not set; run the tests with \`cargo xtask test\``);
  }
  return value;
}

/** What the user of the test has set. */
const SETTINGS = {
  'chat.disableAIFeatures': true,
  'claudecluster.trace.server': 'off',
  'editor.acceptSuggestionOnEnter': 'off',
  'editor.fontSize': 14,
  'editor.minimap.enabled': false,
  'extensions.autoCheckUpdates': false,
  'files.autoSave': 'off',
  'telemetry.telemetryLevel': 'off',
  'window.commandCenter': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.colorTheme': 'Default Dark Modern',
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
};

/** What the test gives every script: the workspace, a folder for this run, a folder for pictures. */
export const [workspace, scratch, shots] = process.argv.slice(2);

/** Starts VS Code for a folder of its own below `scratch`, and opens `workspace` in it. */
export async function open(settings = {}) {
  const data = path.join(scratch, 'vscode');
  const extensions = path.join(scratch, 'extensions');
  const user = path.join(data, 'data', 'User');
  await mkdir(user, { recursive: true });
  await mkdir(extensions, { recursive: true });
  await mkdir(shots, { recursive: true });
  await writeFile(path.join(user, 'settings.json'), JSON.stringify({ ...SETTINGS, ...settings }));
  const unpacked = path.join(extensions, 'claudecluster.claudecluster-0.1.0');
  await symlink(part('EXTENSION'), unpacked, 'dir');
  const server = await serve(data, extensions);
  try {
    const browser = await chromium.launch({
      executablePath: part('CHROMIUM'),
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    });
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    page.setDefaultTimeout(PATIENCE);
    const query = new URLSearchParams({
      [workspace.endsWith('.code-workspace') ? 'workspace' : 'folder']: workspace,
      // What takes how long is in the extension's log.
      payload: JSON.stringify([['logLevel', 'claudecluster.claudecluster=debug']]),
    });
    await page.goto(`http://127.0.0.1:${server.port}/?${query}`);
    return new Editor({ server, browser, page, shots, data });
  } catch (error) {
    server.child.kill();
    throw error;
  }
}

/** Runs a story once the editor is ready, and keeps a picture of where it failed. */
export async function run(editor, story) {
  try {
    await editor.trust();
    await editor.ready();
    await story();
  } catch (error) {
    await editor.picture('failed');
    throw error;
  } finally {
    await editor.close();
  }
}

async function serve(data, extensions) {
  const parts = part('VSCODE');
  const main = 'node_modules/code-server/lib/vscode/out/server-main.js';
  const args = ['--host', '127.0.0.1', '--port', '0', '--without-connection-token'];
  args.push('--accept-server-license-terms', '--telemetry-level', 'off');
  args.push('--server-data-dir', data, '--extensions-dir', extensions);
  const child = spawn(process.execPath, [path.join(parts, main), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const port = await new Promise((found, failed) => {
    let said = '';
    child.stdout.on('data', (chunk) => {
      said += chunk;
      const [, port] = /listening on (\d+)/.exec(said) ?? [];
      if (port) {
        found(Number(port));
      }
    });
    child.once('exit', (code) => failed(new Error(`VS Code ended with ${code}:\n${said}`)));
  });
  return { child, port };
}

/** The editor, as its user sees it. */
export class Editor {
  constructor(parts) {
    Object.assign(this, parts);
    this.count = 0;
  }

  async close() {
    await this.browser.close();
    const ended = new Promise((end) => this.server.child.once('exit', end));
    this.server.child.kill();
    await ended;
  }

  /** Tells the test: what it is to do, or a figure. */
  say(words) {
    process.stdout.write(`${words}\n`);
  }

  /** Runs a command as somebody does who sits at a terminal. */
  async cli(...args) {
    await promisify(execFile)(process.env.CLAUDECLUSTER_SERVER, args);
  }

  /** The process of the daemon. */
  daemon() {
    const file = path.join(process.env.CLAUDECLUSTER_HOME, 'daemon.json');
    return JSON.parse(readFileSync(file, 'utf8')).pid;
  }

  /** What an expression finds first in the extension's log; `undefined` where it is not there yet. */
  async logged(expression) {
    for await (const file of glob('data/logs/*/*/claudecluster.claudecluster/*.log', {
      cwd: this.data,
    })) {
      const [, found] = expression.exec(await readFile(path.join(this.data, file), 'utf8')) ?? [];
      if (found !== undefined) {
        return found;
      }
    }
    return undefined;
  }

  /** Keeps a picture for people to look at. */
  async shot(name) {
    // The palette fades away.
    await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
    await this.picture(name);
  }

  async picture(name) {
    this.count += 1;
    const number = String(this.count).padStart(2, '0');
    await this.page.screenshot({ path: path.join(this.shots, `${number}-${name}.png`) });
  }

  /** Waits until something holds; fails with what is there instead. */
  async until(what, look, fits) {
    let seen;
    const until = Date.now() + PATIENCE;
    while (Date.now() < until) {
      seen = await look();
      if (fits(seen)) {
        return seen;
      }
      await this.page.waitForTimeout(50);
    }
    throw new Error(`never happened: ${what}; there is ${JSON.stringify(seen)}`);
  }

  /**
   * Does something until it has worked, as people do: what is clicked is often drawn anew between the button's
   * going down and up. It must do no harm twice; `act` is given how long it may wait for what it needs.
   */
  async again(what, act, done) {
    const until = Date.now() + PATIENCE;
    let last = '';
    while (Date.now() < until) {
      try {
        await act({ timeout: STEP });
      } catch (error) {
        if (error.name !== 'TimeoutError') {
          throw error;
        }
        last = `; the last time: ${error.message}`;
      }
      if (await this.within(STEP, done)) {
        return;
      }
    }
    throw new Error(`never happened: ${what}${last}`);
  }

  async within(time, holds) {
    const until = Date.now() + time;
    do {
      if (await holds()) {
        return true;
      }
      await this.page.waitForTimeout(50);
    } while (Date.now() < until);
    return false;
  }

  /** Clicks the first of these until `done` holds; where it is not given, until one of them has gone. */
  async click(locator, done) {
    const target = locator.first();
    await target.waitFor();
    const seen = locator.filter({ visible: true });
    const before = await seen.count();
    done ??= async () => (await seen.count()) < before;
    await this.again(
      `a click on ${locator} does something`,
      (options) => target.click(options),
      done,
    );
  }

  /** Trusts the folder, as somebody does who works in it. */
  async trust() {
    await this.page.locator('.statusbar-item', { hasText: 'Restricted Mode' }).waitFor();
    await this.command('Workspaces: Manage Workspace Trust');
    await this.page.locator('.workspace-trust-editor').getByText('Trust', { exact: true }).click();
    await this.page
      .locator('.statusbar-item', { hasText: 'Restricted Mode' })
      .waitFor({ state: 'detached' });
    await this.page.keyboard.press('Escape');
  }

  /** Waits until the extension is there and has found its server. */
  async ready() {
    await this.page.locator('.statusbar-item[aria-label*="ClaudeCluster 0."]').first().waitFor();
  }

  /** The box of the palette and of questions. */
  get input() {
    return this.page.locator('.quick-input-widget input[type="text"]');
  }

  /** Types into the box that is open, and looks that it arrived: lists come and go under the keys. */
  async type(text) {
    await this.input.waitFor();
    await this.input.fill(text);
  }

  /** A row of the list below the box. */
  choice(text) {
    return this.page.locator('.quick-input-list .monaco-list-row', { hasText: text }).first();
  }

  async choose(text) {
    await this.click(this.choice(text));
  }

  /** Runs a command by its name, from the palette. */
  async command(title) {
    const rows = this.page.locator('.quick-input-list .monaco-list-row');
    const row = rows.filter({ has: this.page.getByText(title, { exact: true }) }).first();
    const asked = `>${title}`;
    await this.again(
      `the command ${title} runs`,
      async (options) => {
        await this.page.keyboard.press('F1');
        await this.input.fill(asked, options);
        await row.click(options);
      },
      async () => (await this.asked()) !== asked || (await this.input.isHidden()),
    );
  }

  /** What is in the box. */
  async asked() {
    return this.page.evaluate(
      () => document.querySelector('.quick-input-widget input[type="text"]')?.value,
    );
  }

  /** Opens a file of the folder, by its name, or brings it to the front. */
  async file(name) {
    const front = this.page.locator('.editor-group-container.active');
    const tab = front.locator(`.tab.active[data-resource-name="${name}"]`);
    await this.again(
      `${name} is in front`,
      async (options) => {
        await this.page.keyboard.press('Control+p');
        await this.input.fill(name, options);
        await this.choice(name).click(options);
      },
      () => tab.isVisible(),
    );
    await front.locator('.editor-instance .view-lines').first().waitFor();
  }

  /** Puts the keys into the text. */
  async focus() {
    await this.command('View: Focus Active Editor Group');
    await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
    await this.page.locator('.editor-group-container.active .monaco-editor.focused').waitFor();
  }

  /** Puts the cursor to a line and a column, both counted from 1. */
  async goTo(line, column) {
    await this.focus();
    const there = this.page.locator('.statusbar-item', { hasText: `Ln ${line}, Col ${column}` });
    await this.again(
      `the cursor is at ${line}:${column}`,
      async (options) => {
        await this.page.keyboard.press('Control+g');
        await this.input.fill(`:${line}:${column}`, options);
        await this.page.keyboard.press('Enter');
      },
      async () => (await this.input.isHidden()) && (await there.isVisible()),
    );
  }

  /** States a goal from the palette. */
  async goal(words) {
    await this.command('ClaudeCluster: New Goal…');
    await this.type(words);
    await this.choose('start this goal');
  }

  tab(name) {
    return this.page.locator(`.tab[data-resource-name="${name}"]`);
  }

  async isDirty(name) {
    const classes = await this.tab(name).first().getAttribute('class');
    return classes?.split(' ').includes('dirty') ?? false;
  }

  /** The text of the editor in front, line by line, as far as it is in sight. */
  async text() {
    return this.page.evaluate(() => {
      const editor = document.querySelector('.editor-group-container.active .editor-instance');
      const lines = [...(editor?.querySelectorAll('.view-lines > .view-line') ?? [])];
      const top = (line) => Number.parseFloat(line.style.top);
      return lines
        .sort((a, b) => top(a) - top(b))
        .map((line) => line.textContent.replaceAll('\u00a0', ' '));
    });
  }

  /** Waits until the editor in front shows this text. */
  async shows(what, text) {
    const wanted = text.split('\n');
    await this.until(
      what,
      () => this.text(),
      (lines) => lines.join('\n') === wanted.join('\n'),
    );
  }

  /** A button above a line. */
  lens(text) {
    return this.page.locator('.codelens-decoration a', { hasText: text });
  }

  /** A button above the editor in front. */
  button(title) {
    const group = this.page.locator('.editor-group-container.active');
    return group.locator(`.action-item [aria-label*="${title}"]`).first();
  }

  /** A message in the corner. */
  message(text) {
    return this.page.locator('.notification-toast', { hasText: text }).first();
  }

  /** A message in the list of all of them. */
  listed(text) {
    const list = this.page.locator('.notifications-center.visible .notification-list-item');
    return list.filter({ hasText: text }).first();
  }

  /** Answers a message that may have gone to the list of all of them meanwhile. */
  async answer(text, title) {
    const button = this.listed(text).getByText(title, { exact: true });
    await this.again(
      `the message ${text} is listed`,
      () => this.command('Notifications: Show Notifications'),
      () => button.first().isVisible(),
    );
    await this.click(button);
  }

  /** Rows of the view of goals, as their users read them. */
  async rows() {
    return this.page.evaluate(() => {
      const rows = [...document.querySelectorAll('.pane-body .monaco-list-row')];
      const parts = (row) => [...row.querySelectorAll('.label-name, .label-description')];
      return rows.map((row) =>
        parts(row)
          .map((part) => part.textContent)
          .join(' '),
      );
    });
  }

  /** Waits until a row of the view begins with this. */
  async hasRow(text) {
    const fits = (rows) => rows.some((row) => row.startsWith(text));
    await this.until(`the view has ${text}`, () => this.rows(), fits);
  }

  /** Whether a row begins with this now. */
  async sees(text) {
    return (await this.rows()).some((row) => row.startsWith(text));
  }

  /** Waits until none does. */
  async noRow(text) {
    const fits = (rows) => rows.length > 0 && !rows.some((row) => row.startsWith(text));
    await this.until(`the view has ${text} no more`, () => this.rows(), fits);
  }

  row(text) {
    return this.page.locator('.pane-body .monaco-list-row', { hasText: text }).first();
  }

  /** The row with exactly this name. */
  named(name) {
    const label = this.page.locator('.label-name').getByText(name, { exact: true });
    return this.page.locator('.pane-body .monaco-list-row').filter({ has: label }).first();
  }

  /** Clicks a button in a row of the view, which is there while the mouse is on the row, until `done` holds. */
  async press(row, title, done) {
    const button = row.locator(`.action-label[aria-label*="${title}"]`).first();
    await this.again(
      `${title} in ${row} does something`,
      async (options) => {
        await row.hover(options);
        await button.click(options);
      },
      done,
    );
  }
}
