-- What the user can ask for. Thin: the server does the work.

local client = require('claudecluster.client')

local M = {}

---@class claudecluster.Selection
---@field uri string
---@field range? { startLine: integer, endLine: integer } counted from 0, the end exclusive

---Optional: the plugin works without it. Options go to the server's configuration.
---@param opts? vim.lsp.Config
function M.setup(opts)
  vim.lsp.config('claudecluster', opts or {})
  vim.lsp.enable('claudecluster')
end

---Asks what to do about a goal that is under way already.
---@param same string the goal
---@param another fun() starts another
local function on_duplicate(same, another)
  local show, start = 'Show it', 'Start another'
  local prompt = ('ClaudeCluster: %s does this already'):format(same)
  vim.ui.select({ show, start }, { prompt = prompt }, function(choice)
    if choice == show then
      M.show(same)
    elseif choice == start then
      another()
    end
  end)
end

---States a goal. Asks for its words when there are none.
---@param prompt string
---@param selection? claudecluster.Selection
---@param again? boolean even where a goal that is not settled does the same
function M.goal(prompt, selection, again)
  if vim.trim(prompt) == '' then
    vim.ui.input({ prompt = 'Goal: ' }, function(input)
      if input and vim.trim(input) ~= '' then
        M.goal(input, selection)
      end
    end)
    return
  end
  -- What kind of scope it is, the settings say.
  local scope = selection and { uris = { selection.uri }, range = selection.range }
  local argument = { prompt = prompt, scope = scope, again = again }
  client.command('claudecluster.goal.submit', argument, function(result)
    if result.duplicateOf then
      on_duplicate(result.duplicateOf, function()
        M.goal(prompt, selection, true)
      end)
      return
    end
    require('claudecluster.events').remember(result.goalId)
    client.notify(('goal %s submitted'):format(result.goalId))
  end)
end

---The address of a file that is named relative to the workspace.
---@param file string
---@return string
function M.uri(file)
  local server = client.find()
  if server and server.root_dir and not vim.startswith(file, '/') then
    file = vim.fs.joinpath(server.root_dir, file)
  end
  return vim.uri_from_fname(file)
end

---@param name string the part of the command after `claudecluster.`
---@param goal string
---@param extra? table
function M.decide(name, goal, extra)
  local argument = vim.tbl_extend('force', { goalId = goal }, extra or {})
  client.command('claudecluster.' .. name, argument)
end

---The pending hunks of the current buffer, as the server has them for its text.
---@param done fun(hunks: table[])
local function with_hunks(done)
  client.request('claudecluster/changes', { uri = vim.uri_from_bufnr(0) }, function(result)
    local document = result.documents[1]
    done(document and document.hunks or {})
  end)
end

---Those of them on lines `first` to `last`, both counted from 1. Tells the user when there are none.
---@param first integer
---@param last integer
---@param wanted string what is looked for, in words
---@param filter fun(hunk: table): boolean
---@param done fun(hunks: table[])
local function with_hunks_on(first, last, wanted, filter, done)
  with_hunks(function(hunks)
    local count = vim.api.nvim_buf_line_count(0)
    local found = vim.tbl_filter(function(hunk)
      -- What comes behind the last line is on it.
      local start = math.min(hunk.startLine, count - 1)
      local stop = math.max(hunk.endLine, start + 1)
      return filter(hunk) and start < last and first - 1 < stop
    end, hunks)
    if #found == 0 then
      client.notify(('no %s on this line; see :ClaudeCluster changes'):format(wanted))
    else
      done(found)
    end
  end)
end

---Accepts or rejects what is pending on these lines of the current buffer.
---@param verdict 'accept'|'reject'
---@param first integer counted from 1
---@param last integer inclusive
---@param reason? string why, for a rejection
function M.decide_here(verdict, first, last, reason)
  with_hunks_on(first, last, 'change is pending', function()
    return true
  end, function(found)
    for _, hunk in ipairs(found) do
      client.command('claudecluster.hunk.' .. verdict, { hunkId = hunk.id, reason = reason })
    end
  end)
end

---Decides the conflicts on these lines of the current buffer.
---@param kind 'mine'|'theirs'|'both'|'merged'|'markers'|'repair'
---@param first integer counted from 1
---@param last integer inclusive
---@param reason? string what a repair is to come to
function M.resolve_here(kind, first, last, reason)
  with_hunks_on(first, last, 'conflict is', function(hunk)
    return hunk.status == 'conflict'
  end, function(found)
    for _, hunk in ipairs(found) do
      local argument = { hunkId = hunk.id, resolution = { kind = kind }, reason = reason }
      client.command('claudecluster.hunk.resolve', argument)
    end
  end)
end

---Takes back what has landed on these lines of the current buffer. Where that is more than one change,
---the user chooses.
---@param first integer counted from 1
---@param last integer inclusive
function M.undo_here(first, last)
  local text = vim.api.nvim_buf_get_lines(0, last - 1, last, false)[1] or ''
  vim.lsp.buf.code_action({
    apply = true,
    context = { diagnostics = {}, triggerKind = 1 },
    range = { start = { first, 0 }, ['end'] = { last, #text } },
    filter = function(action)
      local command = action.command
      return type(command) == 'table' and command.command == 'claudecluster.hunk.undo'
    end,
  })
end

---Asks why, then goes on with the answer. Nothing happens where the user gives up.
---@param prompt string
---@param done fun(reason?: string)
function M.ask_why(prompt, done)
  vim.ui.input({ prompt = prompt .. ' ' }, function(input)
    if input then
      input = vim.trim(input)
      done(input ~= '' and input or nil)
    end
  end)
end

---Moves to the next pending hunk of the buffer, or the one before, around its end.
---@param direction 1|-1
function M.jump(direction)
  with_hunks(function(hunks)
    if #hunks == 0 then
      client.notify('nothing is pending in this file; see :ClaudeCluster changes')
      return
    end
    local count, here = vim.api.nvim_buf_line_count(0), vim.fn.line('.')
    local lines = vim.tbl_map(function(hunk)
      return math.min(hunk.startLine + 1, count)
    end, hunks)
    table.sort(lines, function(a, b)
      return (a - b) * direction < 0
    end)
    local target = lines[1]
    for _, line in ipairs(lines) do
      if (line - here) * direction > 0 then
        target = line
        break
      end
    end
    vim.cmd("normal! m'")
    vim.api.nvim_win_set_cursor(0, { target, 0 })
  end)
end

---Shows a hunk in a window that floats, in the buffer where it is pending.
---@param id? string default: those at the cursor
function M.diff(id)
  local show = require('claudecluster.diff').show
  if id then
    with_hunks(function(hunks)
      for _, hunk in ipairs(hunks) do
        if hunk.id == id then
          return show({ hunk })
        end
      end
      client.notify(('%s is not pending in this file any more'):format(id))
    end)
    return
  end
  local line = vim.fn.line('.')
  with_hunks_on(line, line, 'change is pending', function()
    return true
  end, show)
end

---Lists the goals in a message.
function M.goals()
  client.command('claudecluster.goal.list', {}, function(goals)
    if #goals == 0 then
      client.notify('no goals yet; state one with :ClaudeCluster goal')
      return
    end
    local lines = {}
    for _, goal in ipairs(goals) do
      local hunks = goal.hunks
      table.insert(
        lines,
        ('%-5s %-16s %d/%d tasks, %d pending, %d in conflict  %s'):format(
          goal.id,
          goal.state,
          goal.succeeded,
          goal.tasks,
          hunks.pending,
          hunks.conflicts,
          vim.split(goal.prompt, '\n')[1]
        )
      )
    end
    client.notify('goals\n' .. table.concat(lines, '\n'))
  end)
end

---Shows one goal in a scratch window.
---@param goal string
function M.show(goal)
  client.command('claudecluster.goal.show', { goalId = goal }, function(view)
    local lines = { ('# %s: %s'):format(view.id, view.state), '' }
    vim.list_extend(lines, vim.split(view.prompt, '\n'))
    if view.error then
      vim.list_extend(lines, { '', 'Failed: ' .. view.error.message })
    end
    table.insert(lines, '')
    for _, task in ipairs(view.tasksDetail) do
      local after = #task.dependsOn > 0 and ' (after ' .. table.concat(task.dependsOn, ', ') .. ')'
        or ''
      table.insert(lines, ('- [%s] %s: %s%s'):format(task.state, task.id, task.title, after))
      for _, path in ipairs(task.changed) do
        table.insert(lines, '  - ' .. path)
      end
    end
    vim.cmd.new()
    local buffer = vim.api.nvim_get_current_buf()
    vim.bo[buffer].buftype = 'nofile'
    vim.bo[buffer].bufhidden = 'wipe'
    vim.bo[buffer].swapfile = false
    vim.api.nvim_buf_set_lines(buffer, 0, -1, false, lines)
    vim.bo[buffer].filetype = 'markdown'
    vim.bo[buffer].modifiable = false
  end)
end

---Puts everything that is pending into the quickfix list.
function M.changes()
  client.request('claudecluster/changes', vim.empty_dict(), function(result)
    local items = {}
    for _, document in ipairs(result.documents) do
      for _, hunk in ipairs(document.hunks) do
        local by = hunk.provenance[1]
        local what = hunk.whole and hunk.kind .. ' ' or ''
        -- These land only when they are named.
        local held = hunk.held and (' [%s]'):format(table.concat(hunk.held, ', ')) or ''
        table.insert(items, {
          filename = vim.uri_to_fname(document.uri),
          lnum = hunk.startLine + 1,
          type = (hunk.status == 'conflict' or hunk.held) and 'W' or 'I',
          text = ('%s %s %s%s%s'):format(
            hunk.id,
            hunk.status,
            what,
            by and by.title or '',
            held
          ),
        })
      end
    end
    if #items == 0 then
      client.notify('nothing is pending')
      return
    end
    vim.fn.setqflist({}, ' ', { title = 'ClaudeCluster changes', items = items })
    vim.cmd.copen()
  end)
end

return M
