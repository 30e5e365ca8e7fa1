-- Goals and changes in a picker: telescope or fzf-lua where one of them is there, else |vim.ui.select()|.

local client = require('claudecluster.client')
local goals = require('claudecluster.goals')
local text = require('claudecluster.text')

---@diagnostic disable: unresolved-require -- they may not be there

local M = {}

---@class claudecluster.Item
---@field label string
---@field filename? string
---@field lnum? integer
---@field choose fun()

---@param items claudecluster.Item[]
---@param title string
local function telescope(items, title)
  local actions, state = require('telescope.actions'), require('telescope.actions.state')
  local config = require('telescope.config').values
  require('telescope.pickers')
    .new({}, {
      prompt_title = title,
      finder = require('telescope.finders').new_table({
        results = items,
        entry_maker = function(item)
          return {
            value = item,
            display = item.label,
            ordinal = item.label,
            filename = item.filename,
            lnum = item.lnum,
          }
        end,
      }),
      sorter = config.generic_sorter({}),
      previewer = items[1].filename and config.grep_previewer({}) or nil,
      attach_mappings = function(prompt)
        actions.select_default:replace(function()
          local entry = state.get_selected_entry()
          actions.close(prompt)
          if entry then
            entry.value.choose()
          end
        end)
        return true
      end,
    })
    :find()
end

---@param items claudecluster.Item[]
---@param title string
local function fzf(items, title)
  local labels, by_label = {}, {}
  for _, item in ipairs(items) do
    table.insert(labels, item.label)
    by_label[item.label] = item
  end
  require('fzf-lua').fzf_exec(labels, {
    prompt = title .. '> ',
    actions = {
      ['default'] = function(chosen)
        if chosen and by_label[chosen[1]] then
          by_label[chosen[1]].choose()
        end
      end,
    },
  })
end

---@param items claudecluster.Item[]
---@param title string
local function select(items, title)
  vim.ui.select(items, {
    prompt = title,
    format_item = function(item)
      return item.label
    end,
  }, function(item)
    if item then
      item.choose()
    end
  end)
end

---@param items claudecluster.Item[]
---@param title string
local function pick(items, title)
  if #items == 0 then
    client.notify('nothing to pick')
  elseif pcall(require, 'telescope') then
    telescope(items, title)
  elseif pcall(require, 'fzf-lua') then
    fzf(items, title)
  else
    select(items, title)
  end
end

function M.goals()
  client.command('claudecluster.goal.list', {}, function(list)
    local items = {}
    for index = #list, 1, -1 do
      local goal = list[index]
      local prompt = goal.prompt:gsub('%s+', ' ')
      table.insert(items, {
        label = ('%s %s: %s'):format(goal.id, text.state(goal.state), prompt),
        choose = function()
          goals.remember(goal.id)
          require('claudecluster.show').open(goal.id)
        end,
      })
    end
    pick(items, 'Goals')
  end)
end

function M.changes()
  client.request('claudecluster/changes', vim.empty_dict(), function(result)
    local items = {}
    for _, entry in ipairs(require('claudecluster.lists').items(result.documents)) do
      local name = vim.fn.fnamemodify(entry.filename, ':.')
      table.insert(items, {
        label = ('%s:%d %s'):format(name, entry.lnum, entry.text),
        filename = entry.filename,
        lnum = entry.lnum,
        choose = function()
          require('claudecluster.file').open(entry.filename)
          local line = math.min(entry.lnum, vim.api.nvim_buf_line_count(0))
          vim.api.nvim_win_set_cursor(0, { line, 0 })
        end,
      })
    end
    pick(items, 'Changes')
  end)
end

return M
