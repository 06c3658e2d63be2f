"""What the page runs: it asks for the state again and again, and sets it as text, never as markup."""

POLL = """
'use strict';
(() => {
  const by = id => document.getElementById(id), EVERY = 1500, HIDDEN = 10000, GONE = 3;
  const MARKS = {done: '\\u2713', running: '\\u25b6', ended: '\\u25b6', failed: '\\u2717', stale: '\\u21bb',
    waiting: '\\u00b7', passed: '\\u2713', warned: '!'};
  const set = (node, text) => { if (node.textContent !== text) node.textContent = text; };
  const made = (name, text, kind) => {
    const one = document.createElement(name);
    if (text) one.textContent = text;
    if (kind) one.className = kind;
    return one;
  };
  const row = (cells, kind) => {
    const one = made('tr', '', kind), head = made('th', cells[0]);
    head.scope = 'row';
    one.append(head, ...cells.slice(1).map(text => made('td', text, 'number')));
    return one;
  };
  const number = value => value.toLocaleString('en', {maximumFractionDigits: value < 10 ? 3 : 0});
  const clock = seconds => {
    const whole = Math.round(seconds), two = value => String(value).padStart(2, '0');
    const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
    return hours ? hours + ':' + two(minutes) + ':' + two(whole % 60) : minutes + ':' + two(whole % 60);
  };
  const time = seconds => new Date(1000 * seconds).toLocaleTimeString();
  const link = (text, path) => {
    if (!/^report\\/[\\w\\/]+\\.html$/.test(path)) return made('span', text);
    const one = made('a', text);
    one.href = path;
    return one;
  };
  const known = new Map();
  // what did not change is left as it is: a reader's place and an opened part stay
  const changed = (name, value) => {
    const said = JSON.stringify(value);
    if (known.get(name) === said) return false;
    known.set(name, said);
    return true;
  };
  const work = told => {
    const parts = [told.label + ': ' + number(told.done) + ' of ' + number(told.total)];
    if (told.tokens_per_second) parts.push(number(Math.round(told.tokens_per_second)) + ' tokens/s');
    else if (told.per_second) parts.push(number(told.per_second) + '/s');
    if (told.left !== null && told.done < told.total) parts.push('about ' + clock(told.left) + ' left');
    if (told.silent > 30) parts.push('nothing new for ' + clock(told.silent));
    return parts.join(' \\u00b7 ');
  };
  const now = stages => {
    const one = stages.find(stage => stage.state === 'running'), told = one && one.work;
    by('now').hidden = !one;
    if (!one) return;
    set(by('now-stage'), one.name);
    set(by('now-since'), 'running since ' + time(one.since) + ', for ' + clock(one.seconds));
    set(by('now-work'), told ? work(told) : '');
    by('now-bar').hidden = !told;
    if (told) { by('now-bar').max = Math.max(told.total, 1); by('now-bar').value = told.done; }
  };
  const rows = new Map();
  const stages = list => {
    if (changed('stage names', list.map(one => one.name))) {
      rows.clear();
      by('stages').replaceChildren(...list.map(one => {
        const line = made('tr'), head = made('th', one.name), state = made('td'), why = made('td'), took = made('td');
        head.scope = 'row';
        head.title = one.description;
        took.className = 'number';
        // on a narrow screen they are no table to the eye, but to a screen reader
        line.setAttribute('role', 'row');
        head.setAttribute('role', 'rowheader');
        [state, took, why].forEach(cell => cell.setAttribute('role', 'cell'));
        line.append(head, state, took, why);
        rows.set(one.name, [line, state, took, why]);
        return line;
      }));
    }
    list.forEach(one => {
      const [line, state, took, why] = rows.get(one.name);
      if (line.className !== one.state) line.className = one.state;
      set(state, MARKS[one.state] + ' ' + one.state);
      set(took, one.seconds === null ? '' : clock(one.seconds));
      set(why, one.state === 'running' && one.work ? work(one.work) : one.why);
    });
  };
  const gates = list => {
    if (!changed('gates', list)) return;
    by('gates').replaceChildren(...list.map(one => {
      const item = made('li', '', one.state), held = one.expectations - one.broken;
      const said = one.expectations ? ': ' + held + ' of ' + one.expectations + ' hold' : '';
      item.append(made('span', MARKS[one.state] + ' ', 'mark'),
        one.page ? link(one.gate, one.page) : made('span', one.gate), made('span', ' ' + one.state + said));
      if (one.lines.length) {
        const lines = made('ul');
        lines.append(...one.lines.map(line => made('li', line)));
        item.append(lines);
      }
      return item;
    }));
  };
  const amount = (one, name, currency) => {
    const told = one[name].spent === null ? (name === 'money' ? '' : '0') : number(one[name].spent);
    const bound = one[name].bound === null ? '' : ' of ' + number(one[name].bound);
    return told + bound + (name === 'money' && (told || bound) ? ' ' + (currency || '') : '');
  };
  const spending = told => {
    if (!changed('spending', told)) return;
    by('spending-part').hidden = !told;
    if (!told) return;
    const line = (title, read) => row([title, read(told.run), read(told.total)]);
    const lines = [line('answers bought', one => number(one.answers)), line('failed', one => number(one.failures)),
      ...['calls', 'tokens'].map(name => line(name, one => amount(one, name))),
      line('time asking', one => clock(one.seconds)),
      line('tokens/s', one => one.seconds ? number(Math.round(one.tokens.spent / one.seconds)) : '')];
    if (told.currency || told.run.money.bound !== null || told.total.money.bound !== null)
      lines.push(line('money', one => amount(one, 'money', told.currency)));
    by('spending').replaceChildren(...lines);
  };
  const earlier = one => one.earlier ? ' (an earlier run)' : '';
  const sources = list => {
    if (!changed('sources', list)) return;
    by('sources-part').hidden = !list.length;
    by('sources').replaceChildren(...list.map(one =>
      row([one.stage + earlier(one), ...['store', 'recorded', 'bought', 'failures'].map(name => number(one[name]))])));
  };
  const when = told => isNaN(Date.parse(told)) ? told : new Date(told).toLocaleString();
  const answers = list => {
    if (!changed('answers', list)) return;
    by('answers-none').hidden = list.length > 0;
    by('answers').replaceChildren(...list.map(one => {
      const item = made('li'), sure = one.logprob === null ? '' : ' (' + Math.exp(one.logprob).toFixed(2) + ')';
      const said = made('p', one.answer, 'said');
      if (sure) said.append(made('span', sure, 'quiet'));
      item.append(made('p', one.question, 'quiet'), said, made('p', when(one.at), 'ids'));
      return item;
    }));
  };
  const leftOut = list => {
    if (!changed('left out', list)) return;
    by('left-none').hidden = list.length > 0;
    const open = new Set([...by('left').querySelectorAll('details[open]')].map(one => one.dataset.stage));
    by('left').replaceChildren(...list.map(one => {
      const item = made('details'), rows = made('ul');
      item.dataset.stage = one.stage;
      item.open = open.has(one.stage);
      const reasons = one.reasons.map(each => number(each.count) + ' ' + each.reason);
      if (one.more_reasons) reasons.push(one.more_reasons + ' more reasons');
      rows.append(...one.latest.map(each => {
        const line = made('li', each.reason + (each.detail ? ': ' + each.detail : '') + ' ');
        line.append(made('span', each.record_id, 'ids'));
        return line;
      }));
      const said = one.stage + ': ' + number(one.count) + ' (' + reasons.join(', ') + ')' + earlier(one);
      item.append(made('summary', said), rows);
      return item;
    }));
  };
  const drawn = (name, attributes, text) => {
    const one = document.createElementNS('http://www.w3.org/2000/svg', name);
    Object.entries(attributes).forEach(([key, value]) => one.setAttribute(key, value));
    if (text) one.textContent = text;
    return one;
  };
  const curve = told => {
    if (!changed('curve', told)) return;
    by('curve-part').hidden = !told;
    if (!told) return;
    const W = 360, H = 170, L = 34, R = 6, T = 8, B = 24, points = told.points;
    const last = points[points.length - 1], first = points[0];
    const top = Math.max(...points.map(one => one[1]), 1e-9), wide = Math.max(last[0] - first[0], 1);
    const x = step => L + (W - L - R) * (step - first[0]) / wide;
    const y = loss => H - B - (H - T - B) * Math.max(loss, 0) / top, digits = top < 10 ? 2 : 0;
    const chart = by('curve'), line = points.map(one => x(one[0]).toFixed(1) + ',' + y(one[1]).toFixed(1)).join(' ');
    chart.replaceChildren(
      ...[0, 0.5, 1].flatMap(share => [
        drawn('line', {x1: L, x2: W - R, y1: y(top * share), y2: y(top * share), class: 'grid'}),
        drawn('text', {x: L - 5, y: y(top * share) + 4, 'text-anchor': 'end'}, (top * share).toFixed(digits))]),
      drawn('polyline', {points: line, class: 'loss'}),
      drawn('circle', {cx: x(last[0]), cy: y(last[1]), r: 3, class: 'last'}),
      drawn('text', {x: L, y: H - 6}, 'step ' + number(first[0])),
      drawn('text', {x: W - R, y: H - 6, 'text-anchor': 'end'}, number(last[0])));
    const said = told.stage + ': loss ' + last[1].toFixed(3) + ' at step ' + number(last[0]) + ', ' +
      first[1].toFixed(3) + ' at step ' + number(first[0]) + (told.live ? '' : '; this training has ended');
    chart.setAttribute('aria-label', said);
    set(by('curve-said'), said);
  };
  const show = state => {
    set(by('headline'), state.headline);
    document.title = state.headline.slice(0, 60) + ' \\u00b7 ' + state.checkout;
    set(by('when'), 'as of ' + time(state.at) + (state.run ? '; run of process ' + state.run.process +
      (state.run.on ? ', on since ' : ', over; it began ') + new Date(1000 * state.run.since).toLocaleString() : ''));
    by('report').hidden = !state.report;
    now(state.stages); stages(state.stages); gates(state.gates); spending(state.spending); sources(state.sources);
    answers(state.answers); leftOut(state.left_out); curve(state.curve);
    if (changed('faults', state.faults))
      by('faults').replaceChildren(...state.faults.map(line => made('li', line)));
    by('faults-part').hidden = !state.faults.length;
  };
  let missed = 0;
  const poll = async () => {
    try {
      const reply = await fetch('state', {cache: 'no-store'});
      if (!reply.ok) throw new Error('no state');
      show(await reply.json());
      missed = 0;
    } catch (error) {
      missed += 1;
    }
    by('gone').hidden = missed < GONE;
    setTimeout(poll, document.hidden ? HIDDEN : EVERY);
  };
  poll();
})();
"""
