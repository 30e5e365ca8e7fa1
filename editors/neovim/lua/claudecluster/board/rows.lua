-- The lines of the buffer of goals: goals, their tasks, the files these change, the hunks that are pending.

local goals = require('claudecluster.goals')
local text = require('claudecluster.text')

local M = {}

---@class claudecluster.Row
---@field kind 'head'|'goal'|'task'|'file'|'hunk'|'note'
---@field line string
---@field note? string what stands behind the line, and changes too often to be in it
---@field spans { [1]: integer, [2]: integer, [3]: string }[] highlights: columns from, to, group
---@field goal? string
---@field task? string
---@field uri? string
---@field hunk? claudecluster.Hunk

---@type table<string, { [1]: string, [2]: string }>
local shapes = {
  submitted = { '◌', 'ClaudeClusterRunning' },
  planning = { '●', 'ClaudeClusterRunning' },
  running = { '●', 'ClaudeClusterRunning' },
  merging = { '●', 'ClaudeClusterRunning' },
  gating = { '●', 'ClaudeClusterRunning' },
  awaitingApproval = { '?', 'ClaudeClusterConflict' },
  paused = { '?', 'ClaudeClusterConflict' },
  proposed = { '◆', 'ClaudeClusterConflict' },
  landed = { '✓', 'ClaudeClusterDone' },
  succeeded = { '✓', 'ClaudeClusterDone' },
  failed = { '✗', 'ClaudeClusterFailed' },
  rejected = { '–', 'ClaudeClusterWaiting' },
  cancelled = { '–', 'ClaudeClusterWaiting' },
  skipped = { '–', 'ClaudeClusterWaiting' },
}
local waiting = { '○', 'ClaudeClusterWaiting' }

---A line made of parts, each with its highlight.
---@param parts { [1]: string, [2]?: string }[]
---@return string line, { [1]: integer, [2]: integer, [3]: string }[] spans
local function join(parts)
  local line, spans = '', {}
  for _, part in ipairs(parts) do
    if part[2] then
      table.insert(spans, { #line, #line + #part[1], part[2] })
    end
    line = line .. part[1]
  end
  return line, spans
end

---@param words (string|false|nil)[]
---@return string
local function note(words)
  return table.concat(
    vim.tbl_filter(function(word)
      return word ~= nil and word ~= false and word ~= ''
    end, words),
    ' · '
  )
end

---@param goal claudecluster.Goal
---@return claudecluster.Row
local function goal_row(goal)
  local shape = shapes[goal.state] or waiting
  local line, spans = join({
    { shape[1] .. ' ', shape[2] },
    { ('%-4s '):format(goal.id), 'ClaudeClusterGoal' },
    { ('%-10s '):format(text.state(goal.state)), shape[2] },
    { vim.trim(goal.prompt:gsub('%s+', ' ')) },
  })
  local ended = text.is_working(goal) and text.now() or goal.updatedAt
  return {
    kind = 'goal',
    line = line,
    spans = spans,
    goal = goal.id,
    note = note({
      goal.tasks > 0 and ('%d/%d tasks'):format(goal.succeeded, goal.tasks),
      goal.hunks.pending > 0 and ('%d pending'):format(goal.hunks.pending),
      goal.hunks.conflicts > 0 and text.count(goal.hunks.conflicts, 'conflict'),
      text.duration(ended - goal.submittedAt),
      text.money(goal.costUsd),
    }),
  }
end

---@param goal claudecluster.Goal
---@param task claudecluster.Task
---@return claudecluster.Row
local function task_row(goal, task)
  local shape = shapes[task.state] or waiting
  local line, spans = join({
    { '  ' .. shape[1] .. ' ', shape[2] },
    { ('%-10s '):format(text.state(task.state)), shape[2] },
    { task.id .. '  ', 'ClaudeClusterGoal' },
    { task.title },
  })
  local took = 0
  ---@type number
  local cost = 0
  for _, attempt in ipairs(task.attempts) do
    took = took + (attempt.endedAt or text.now()) - attempt.startedAt
    cost = cost + attempt.usage.costUsd
  end
  local last = task.attempts[#task.attempts]
  return {
    kind = 'task',
    line = line,
    spans = spans,
    goal = goal.id,
    task = task.id,
    note = note({
      #task.attempts > 0 and text.duration(took),
      cost > 0 and text.money(cost),
      #task.attempts > 1 and ('attempt %d'):format(#task.attempts),
      task.state == 'failed' and last and last.stop and text.state(last.stop),
      task.state == 'running' and goals.doing(goal.id, task.id),
    }),
  }
end

---@param hunk claudecluster.Hunk
---@return string
local function lines_of(hunk)
  if hunk.whole then
    return hunk.kind
  elseif hunk.endLine - hunk.startLine <= 1 then
    return tostring(hunk.startLine + 1)
  end
  return ('%d-%d'):format(hunk.startLine + 1, hunk.endLine)
end

---@param row claudecluster.Row what it shares with its file
---@param hunk claudecluster.Hunk
---@return claudecluster.Row
local function hunk_row(row, hunk)
  local conflict = hunk.status == 'conflict'
  local new = text.lines(hunk.newText)[1]
  local shown = new or text.lines(hunk.oldText)[1] or ''
  local sign = conflict and '!' or not new and '-' or hunk.oldText == '' and '+' or '~'
  local group = conflict and 'ClaudeClusterConflict' or 'ClaudeClusterSign'
  local line, spans = join({
    { ('        %s '):format(sign), group },
    { ('%-7s '):format(lines_of(hunk)), 'ClaudeClusterInfo' },
    { vim.trim(vim.fn.strtrans(shown)) },
  })
  return {
    kind = 'hunk',
    line = line,
    spans = spans,
    goal = row.goal,
    task = row.task,
    uri = row.uri,
    hunk = hunk,
    note = note(vim.list_extend({ conflict and 'conflict' }, text.held(hunk))),
  }
end

---@param rows claudecluster.Row[]
---@param goal claudecluster.Goal
---@param task string
---@param path string
---@param uri string
---@param hunks claudecluster.Hunk[]
local function add_file(rows, goal, task, path, uri, hunks)
  local line, spans = join({ { '      ' }, { path, 'ClaudeClusterFile' } })
  local file = {
    kind = 'file',
    line = line,
    spans = spans,
    goal = goal.id,
    task = task,
    uri = uri,
    note = #hunks == 0 and 'decided' or nil,
  }
  table.insert(rows, file)
  for _, hunk in ipairs(hunks) do
    table.insert(rows, hunk_row(file, hunk))
  end
end

---A goal's pending hunks, by the task that made them and their file.
---@param goal claudecluster.Goal
---@return table<string, table<string, { uri: string, hunks: claudecluster.Hunk[] }>>
local function by_task(goal)
  local found = {}
  for uri, hunks in vim.spairs(goals.changes()) do
    for _, hunk in ipairs(hunks) do
      if text.goal(hunk) == goal.id then
        local by = hunk.provenance[1]
        local task = by and by.task or ''
        found[task] = found[task] or {}
        local file = found[task][hunk.path] or { uri = uri, hunks = {} }
        found[task][hunk.path] = file
        table.insert(file.hunks, hunk)
      end
    end
  end
  return found
end

---@param rows claudecluster.Row[]
---@param goal claudecluster.Goal
---@param task string
---@param files table<string, { uri: string, hunks: claudecluster.Hunk[] }>
---@param changed string[]
local function add_files(rows, goal, task, files, changed)
  for path, file in vim.spairs(files) do
    add_file(rows, goal, task, path, file.uri, file.hunks)
  end
  for _, path in ipairs(changed) do
    if not files[path] and goal.state ~= 'running' then
      local uri = vim.uri_from_fname(vim.fs.joinpath(goal.workspace, path))
      add_file(rows, goal, task, path, uri, {})
    end
  end
end

---How deep a line is, told by itself: lines move while they are drawn, and folds have to be right.
---@param line string
---@return string # what 'foldexpr' is to give
function M.level(line)
  local indent = #line:match('^ *')
  if line == '' or indent == 0 and not line:find(' g%d+ ') then
    return '0'
  end
  return ({ [0] = '>1', [2] = '>2', [4] = '1', [6] = '>3' })[indent] or '3'
end

---@return claudecluster.Row[]
function M.make()
  local rows = {
    {
      kind = 'head',
      line = 'ClaudeCluster goals',
      note = 'g? lists the keys',
      spans = {},
    },
    { kind = 'head', line = '', spans = {} },
  }
  rows[1].spans = { { 0, #rows[1].line, 'ClaudeClusterTitle' } }
  local all = goals.all()
  for _, goal in ipairs(all) do
    table.insert(rows, goal_row(goal))
    if goal.error then
      local why = '    ' .. goal.error.message:gsub('%s+', ' ')
      local spans = { { 0, #why, 'ClaudeClusterFailed' } }
      table.insert(rows, { kind = 'note', line = why, spans = spans, goal = goal.id })
    end
    local pending = by_task(goal)
    for _, task in ipairs(goal.tasksDetail or {}) do
      table.insert(rows, task_row(goal, task))
      add_files(rows, goal, task.id, pending[task.id] or {}, task.changed)
      pending[task.id] = nil
    end
    -- Of tasks that are not known, or not yet.
    for task, files in vim.spairs(pending) do
      add_files(rows, goal, task, files, {})
    end
  end
  if #all == 0 then
    local line = 'No goals yet. Start one with :ClaudeCluster goal.'
    table.insert(rows, { kind = 'note', line = line, spans = {} })
  end
  return rows
end

return M
