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

---States a goal. Asks for its words when there are none.
---@param prompt string
---@param selection? claudecluster.Selection
function M.goal(prompt, selection)
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
  client.command('claudecluster.goal.submit', { prompt = prompt, scope = scope }, function(result)
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

---Accepts or rejects what is pending on these lines of the current buffer.
---@param verdict 'accept'|'reject'
---@param first integer counted from 1
---@param last integer inclusive
---@param reason? string why, for a rejection
function M.decide_here(verdict, first, last, reason)
  local uri = vim.uri_from_bufnr(0)
  client.request('claudecluster/changes', { uri = uri }, function(result)
    local found = {}
    for _, document in ipairs(result.documents) do
      for _, hunk in ipairs(document.hunks) do
        local stop = math.max(hunk.endLine, hunk.startLine + 1)
        if hunk.startLine < last and first - 1 < stop then
          table.insert(found, hunk)
        end
      end
    end
    if #found == 0 then
      client.notify('nothing is pending on this line; see :ClaudeCluster changes')
      return
    end
    for _, hunk in ipairs(found) do
      client.command('claudecluster.hunk.' .. verdict, { hunkId = hunk.id, reason = reason })
    end
  end)
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
