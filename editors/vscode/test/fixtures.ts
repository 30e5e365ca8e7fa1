// What tests share: values that are whole, of which each says only what it is about.

import type { HunkView } from '../../../protocol/generated/protocol';

export function hunk(more: Partial<HunkView> = {}): HunkView {
  return {
    id: 'g1.00000000',
    path: 'a.txt',
    kind: 'modify',
    status: 'clean',
    startLine: 1,
    endLine: 2,
    oldText: 'old\n',
    newText: 'new\n',
    provenance: [{ task: 'a', title: 'Task a', attempt: 1 }],
    ...more,
  };
}
