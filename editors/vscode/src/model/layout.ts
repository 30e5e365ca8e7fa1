// Places of a plan's tasks in a picture: those that wait for others stand to their right.

/** A task, and what it waits for. */
export interface Vertex {
  readonly id: string;
  readonly dependsOn: readonly string[];
}

/** Where a task stands: a column from the left, a row from the top. */
export interface Cell {
  readonly column: number;
  readonly row: number;
}

/** The column of each task is one past the last of those it waits for. */
export function columnsOf(vertices: readonly Vertex[]): Map<string, number> {
  const byId = new Map(vertices.map((vertex) => [vertex.id, vertex]));
  const columns = new Map<string, number>();
  const visit = (id: string, path: ReadonlySet<string>): number => {
    const known = columns.get(id);
    if (known !== undefined) {
      return known;
    }
    const vertex = byId.get(id);
    // A plan that is being edited may name tasks that are not there, and go in circles.
    if (!vertex || path.has(id)) {
      return -1;
    }
    const below = new Set(path).add(id);
    const column = 1 + Math.max(-1, ...vertex.dependsOn.map((other) => visit(other, below)));
    columns.set(id, column);
    return column;
  };
  for (const { id } of vertices) {
    visit(id, new Set());
  }
  return columns;
}

/** Places for all tasks. In each column they are ordered by the middle of what they wait for. */
export function layOut(vertices: readonly Vertex[]): Map<string, Cell> {
  const columns = columnsOf(vertices);
  const cells = new Map<string, Cell>();
  const last = Math.max(-1, ...columns.values());
  for (let column = 0; column <= last; column += 1) {
    const here = vertices.filter(({ id }) => columns.get(id) === column);
    const middle = new Map(
      here.map((vertex, n) => {
        const rows = vertex.dependsOn.flatMap((id) => cells.get(id)?.row ?? []);
        const sum = rows.reduce((a, b) => a + b, 0);
        return [vertex.id, rows.length > 0 ? sum / rows.length : n];
      }),
    );
    const sorted = here.toSorted((a, b) => (middle.get(a.id) ?? 0) - (middle.get(b.id) ?? 0));
    sorted.forEach(({ id }, row) => cells.set(id, { column, row }));
  }
  return cells;
}
