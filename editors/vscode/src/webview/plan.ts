// The picture of a plan, drawn in the web view. It knows what it is told and nothing else.

import { become } from './become';
import type { Action, ActionName, Picture, PictureTask, Said } from './picture';

declare function acquireVsCodeApi(): {
  postMessage(message: Said): void;
  getState(): { selected?: string } | undefined;
  setState(state: { selected?: string }): void;
};

const WIDTH = 176;
const HEIGHT = 64;
const GAP_X = 48;
const GAP_Y = 20;
const EDGE = 16;

const api = acquireVsCodeApi();
const page = document.body.appendChild(document.createElement('main'));
let picture: Picture | undefined;
let selected = api.getState()?.selected;

const left = (task: PictureTask) => EDGE + task.column * (WIDTH + GAP_X);
const top = (task: PictureTask) => EDGE + task.row * (HEIGHT + GAP_Y);

function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  className: string,
  text = '',
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

/** Lines from each task to those that wait for it. */
function edges({ tasks }: Picture): SVGSVGElement {
  const space = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(space, 'svg');
  const byId = new Map(tasks.map((task) => [task.id, task]));
  const width = Math.max(0, ...tasks.map(left)) + WIDTH + EDGE;
  const height = Math.max(0, ...tasks.map(top)) + HEIGHT + EDGE;
  svg.setAttribute('width', String(width));
  svg.setAttribute('height', String(height));
  svg.setAttribute('aria-hidden', 'true');
  for (const task of tasks) {
    for (const id of task.dependsOn) {
      const from = byId.get(id);
      if (!from) {
        continue;
      }
      const [x1, y1] = [left(from) + WIDTH, top(from) + HEIGHT / 2];
      const [x2, y2] = [left(task), top(task) + HEIGHT / 2];
      const path = document.createElementNS(space, 'path');
      const bend = GAP_X / 2;
      path.setAttribute('d', `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`);
      path.setAttribute('class', `edge ${from.state}`);
      svg.append(path);
    }
  }
  return svg;
}

function node(task: PictureTask): HTMLButtonElement {
  const button = element('button', `task ${task.state}`);
  button.dataset['task'] = task.id;
  button.style.left = `${left(task)}px`;
  button.style.top = `${top(task)}px`;
  button.style.width = `${WIDTH}px`;
  button.style.height = `${HEIGHT}px`;
  button.tabIndex = task.id === selected ? 0 : -1;
  button.setAttribute('aria-pressed', String(task.id === selected));
  button.setAttribute('aria-label', `${task.title}, ${task.stateWords}, ${task.detail}`);
  button.append(
    element('span', 'title', task.title),
    element('span', 'state', `${task.stateWords}  ${task.detail}`),
  );
  return button;
}

/** Arrow keys go to the nearest task in their direction. */
function move(event: KeyboardEvent): void {
  const steps: Record<string, [number, number]> = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, -1],
    ArrowDown: [0, 1],
  };
  const step = steps[event.key];
  const id = pressed(event)?.dataset['task'];
  const from = picture?.tasks.find((task) => task.id === id);
  if (!step || !picture || !from) {
    return;
  }
  event.preventDefault();
  const [dx, dy] = step;
  const ahead = picture.tasks.filter((task) =>
    dx === 0
      ? task.column === from.column && (task.row - from.row) * dy > 0
      : (task.column - from.column) * dx > 0,
  );
  const distance = (task: PictureTask) =>
    Math.abs(task.column - from.column) * 100 + Math.abs(task.row - from.row);
  const to = ahead.toSorted((a, b) => distance(a) - distance(b))[0];
  if (to) {
    select(to.id);
  }
}

function select(id: string): void {
  selected = id;
  api.setState({ selected: id });
  draw();
  document.querySelector<HTMLElement>(`[data-task="${CSS.escape(id)}"]`)?.focus();
}

/** The button that an event is about. */
function pressed({ target }: Event): HTMLElement | null {
  return target instanceof Element ? target.closest('button') : null;
}

function buttons(actions: readonly Action[], task?: string): HTMLElement {
  const row = element('div', 'actions');
  for (const { name, title } of actions) {
    const button = element('button', 'action', title);
    button.dataset['action'] = name;
    if (task !== undefined) {
      button.dataset['of'] = task;
    }
    row.append(button);
  }
  return row;
}

function click(event: MouseEvent): void {
  const { task, action, of } = pressed(event)?.dataset ?? {};
  if (task !== undefined) {
    select(task);
  } else if (action !== undefined) {
    const said = { said: 'do', action: action as ActionName } as const;
    api.postMessage(of === undefined ? said : { ...said, task: of });
  }
}

function details(task: PictureTask): HTMLElement {
  const box = element('section', 'details');
  box.append(
    element('h2', '', task.title),
    element('p', 'state', `${task.stateWords}  ${task.detail}`),
    element('pre', '', task.instructions),
    buttons(task.actions, task.id),
  );
  return box;
}

function draw(): void {
  if (!picture) {
    return;
  }
  const { tasks } = picture;
  if (!tasks.some(({ id }) => id === selected)) {
    selected = tasks[0]?.id;
  }
  const graph = element('div', 'graph');
  graph.setAttribute('role', 'group');
  graph.setAttribute('aria-label', picture.title);
  graph.append(edges(picture), ...tasks.map(node));
  const head = element('header', '');
  head.append(
    element('h1', '', picture.title),
    element('p', 'state', picture.state),
    buttons(picture.actions),
  );
  const chosen = tasks.find(({ id }) => id === selected);
  const wanted = document.createElement('main');
  wanted.append(
    head,
    tasks.length > 0 ? graph : element('p', 'empty', picture.empty),
    ...(chosen ? [details(chosen)] : []),
  );
  become(page, wanted);
}

document.addEventListener('click', click);
document.addEventListener('keydown', move);
window.addEventListener('message', ({ data }: MessageEvent<Picture>) => {
  picture = data;
  draw();
});
api.postMessage({ said: 'ready' });
