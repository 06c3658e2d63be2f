"""What the page runs: it shows a row, and sends a label when a key or a button says so. Texts are set as text, never as
markup. Nothing is taken while something is on its way, so that no row is labelled that was not seen."""

LABEL = """
'use strict';
(() => {
  const by = id => document.getElementById(id);
  const made = (name, text, kind) => {
    const one = document.createElement(name);
    if (text) one.textContent = text;
    if (kind) one.className = kind;
    return one;
  };
  const number = value => value.toLocaleString('en');
  let state = null, at = 0, busy = false, turn = 0, leftOut = -1;

  class Refusal extends Error {}
  const ask = async (name, body) => {
    const sent = {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(body)};
    const reply = await fetch(name, {cache: 'no-store', ...(body === undefined ? {} : sent)});
    const text = await reply.text();
    if (reply.ok) return JSON.parse(text);
    let why = text.slice(0, 300);
    try { why = JSON.parse(text).error; } catch (error) { /* a line */ }
    throw new Refusal(why);
  };
  const say = text => { by('said').textContent = text; };
  const named = place => 'Row ' + number(place + 1);

  const shown = part => {
    if (part.way === 'line') return [made('p', part.text, 'line quiet')];
    const text = made('p', part.text, part.way), left = [];
    text.dir = 'auto';
    if (part.left) left.push(made('p', '\\u2026 and ' + number(part.left) + ' characters more, in the sheet', 'quiet'));
    if (part.way !== 'folded') return [made('h3', part.title), text, ...left];
    const more = made('details');
    more.append(made('summary', part.title), text, ...left);
    return [more];
  };
  const marks = () => {
    const done = state.labels.filter(label => label).length, all = state.labels.length, label = state.labels[at];
    by('count').textContent = number(done) + ' of ' + number(all) + ' labelled, ' + number(all - done) + ' left';
    by('bar').max = all;
    by('bar').value = done;
    by('place').replaceChildren(named(at) + ' of ' + number(all) + ' ',
      made('span', label ? '\\u00b7 labelled ' + label : '\\u00b7 no label yet', 'quiet'));
    by('choices').querySelectorAll('button').forEach(one =>
      one.setAttribute('aria-pressed', String(one.dataset.label === label)));
  };
  const lost = () => {
    by('lost').hidden = !state.lost.length || leftOut === state.generation;
    const rows = state.lost.slice(0, 10).map(one => 'row ' + number(one.place + 1) + ' (' + one.label + ')').join(', ');
    by('which').textContent = 'Given here and not in the sheet any more: ' + rows +
      (state.lost.length > 10 ? ' and ' + number(state.lost.length - 10) + ' others' : '');
  };
  const choices = () => {
    by('question').textContent = state.question;
    by('scale').textContent = state.choices.filter(one => one.meaning)
      .map(one => one.value + ': ' + one.meaning).join(' \\u00b7 ');
    by('choices').classList.toggle('worded', state.choices.some(one => one.value.length > 2));
    by('choices').replaceChildren(...state.choices.map(one => {
      const button = made('button', one.value);
      button.type = 'button';
      button.dataset.label = one.value;
      button.setAttribute('aria-keyshortcuts', one.key);
      if (one.meaning) button.setAttribute('aria-label', one.value + ', ' + one.meaning);
      if (one.value !== one.key) {
        const key = made('kbd', one.key);
        key.setAttribute('aria-hidden', 'true');
        button.append(' ', key);
      }
      button.addEventListener('click', () => label(one.value));
      return button;
    }));
  };
  const draw = told => {
    const other = state === null || told.generation !== state.generation;
    state = told;
    if (other) choices();
    lost();
  };

  const unlabelled = from => {
    const all = state.labels.length;
    for (let step = 0; step < all; step++) if (!state.labels[(from + step) % all]) return (from + step) % all;
    return -1;
  };
  const go = async (place, before) => {
    const row = await ask('row/' + place);
    if (row.generation !== state.generation) throw new Refusal('The sheet was read anew in another window.');
    at = place;
    by('parts').replaceChildren(...row.parts.flatMap(shown));
    marks();
    const label = state.labels[at];
    say((before || '') + named(at) + ' of ' + number(state.labels.length) + (label ? ', labelled ' + label : '') + '.');
    scrollTo(0, 0);
  };
  const finished = before => say((before || '') + 'All rows are labelled: end with Ctrl-C where you started.');

  const refused = error => {
    const told = error instanceof Refusal;
    by(told ? 'refused' : 'gone').hidden = false;
    if (told) by('why').textContent = error.message;
    scrollTo(0, 0);
  };
  const act = async work => {
    if (busy) return;
    busy = true;
    turn += 1;
    try {
      await work();
      by('gone').hidden = true;
    } catch (error) {
      refused(error);
    }
    busy = false;
  };
  const label = value => act(async () => {
    if (!state) return;
    const had = state.labels[at];
    draw(await ask('label', {row: at, generation: state.generation, label: value}));
    by('refused').hidden = true;
    const said = named(at) + (value ? ': labelled ' + value + '. ' : ': no label. '), next = unlabelled(at + 1);
    if (value && !had && next >= 0) return go(next, said);
    marks();
    if (next < 0) finished(said); else say(said);
  });
  const move = step => act(async () => {
    const place = at + step;
    if (!state) return;
    if (place < 0 || place >= state.labels.length) say(step < 0 ? 'This is the first row.' : 'This is the last row.');
    else await go(place);
  });
  const open = () => act(async () => {
    const place = state ? unlabelled(at + 1) : 0;
    if (place < 0) finished(); else await go(place);
  });
  const start = told => {
    draw(told);
    by('refused').hidden = true;
    const place = unlabelled(0);
    return go(Math.max(place, 0)).then(() => { if (place < 0) finished(); });
  };

  const buttons = {back: () => move(-1), on: () => move(1), open, clear: () => label('')};
  Object.entries(buttons).forEach(([id, work]) => by(id).addEventListener('click', work));
  by('anew').addEventListener('click', () => act(async () => start(await ask('anew', {}))));
  by('leave').addEventListener('click', () => { leftOut = state.generation; lost(); });
  by('again').addEventListener('click', () => act(async () => {
    for (const {place, label} of state.lost)
      draw(await ask('label', {row: place, generation: state.generation, label}));
    marks();
    say('They are in the sheet again.');
  }));
  const moves = {j: 'on', ArrowRight: 'on', k: 'back', ArrowLeft: 'back', n: 'open', u: 'clear'};
  // where digits need Shift, or letters are of another script, the key itself is meant
  const keys = event => {
    const typed = event.key.length === 1 ? event.key.toLowerCase() : event.key, code = event.code;
    if (/^Digit[0-9]$/.test(code) && !event.shiftKey) return [typed, code[5]];
    return /^Key[A-Z]$/.test(code) && typed > '\\u007f' ? [typed, code[3].toLowerCase()] : [typed];
  };
  document.addEventListener('keydown', event => {
    if (!state || !by('keys').checked || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const typed = keys(event), choice = state.choices.find(one => typed.includes(one.key));
    const name = typed.map(key => Object.hasOwn(moves, key) ? moves[key] : '').find(Boolean);
    if (!choice && !name) return;
    event.preventDefault();
    if (event.repeat && (choice || name === 'clear')) return;  // a key held down is one label
    if (choice) label(choice.value); else buttons[name]();
  });
  // somebody who comes back from a spreadsheet is told before the next label; what is done meanwhile is newer
  addEventListener('focus', async () => {
    if (!state || busy) return;
    const mine = turn;
    try {
      const told = await ask('state');
      if (turn !== mine) return;
      if (told.generation !== state.generation || told.changed)
        throw new Refusal('The sheet was changed, or read anew elsewhere, since this page read it.');
      draw(told);
      marks();
    } catch (error) {
      refused(error);
    }
  });
  act(async () => start(await ask('state')));
})();
"""
