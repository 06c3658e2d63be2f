"""What moves in the page: the rows, and the map of attributes. Text is only ever set as text, never read as markup."""

BROWSER = """
'use strict';
(() => {
  const by = id => document.getElementById(id);
  const data = JSON.parse(by('row-data').textContent), form = by('row-form'), list = by('row-list');
  const PAGE = 20, MOST_LABELS = 60, BINS = 10;
  let found = [], from = 0;
  const made = (name, text, kind) => {
    const one = document.createElement(name);
    one.textContent = text;
    if (kind) one.className = kind;
    return one;
  };
  const option = (select, value, text) => select.add(new Option(text, value));
  const order = (a, b) => a < b ? -1 : a > b ? 1 : 0;
  data.instructions.map((one, place) => [one[1] + ' (' + one[2] + ')', place])
    .sort((a, b) => order(a[0], b[0])).forEach(([name, place]) => option(form.task, place, name));
  const lowest = data.rows.reduce((least, row) => Math.min(least, row[3]), 0);
  const highest = data.rows.reduce((most, row) => Math.max(most, row[3]), 1);
  const edge = bin => (lowest + (highest - lowest) * bin / BINS).toFixed(1);
  // three digits are told, a bin's edges are of binary fractions
  const bin = row => Math.min(BINS - 1, Math.floor(BINS * (row[3] - lowest) / (highest - lowest) + 1e-9));
  for (let low = BINS - 1; low >= 0; low--) option(form.difficulty, low, edge(low) + ' to ' + edge(low + 1));
  const words = data.rows.map(row => [data.texts[row[0]][1], data.texts[row[0]][0], row[2],
    data.instructions[row[1]][1], row[6]].join('\\n').toLowerCase());
  const labels = () => {
    const task = form.task.value, counts = new Map(), chosen = form.label.value;
    data.rows.forEach(row => {
      if (task === '' || row[1] === +task) counts.set(row[2], (counts.get(row[2]) || 0) + 1);
    });
    form.label.length = 1;
    [...counts].sort((a, b) => b[1] - a[1] || order(a[0], b[0])).slice(0, MOST_LABELS)
      .forEach(([label, count]) => option(form.label, label, label.slice(0, 60) + ' (' + count + ')'));
    form.label.value = counts.has(chosen) ? chosen : '';
    if (form.label.selectedIndex < 0) form.label.value = '';
  };
  const search = () => {
    const said = form.words.value.toLowerCase().trim(), task = form.task.value, label = form.label.value;
    const low = form.difficulty.value, kept = form.kept.value, way = +form.order.value;
    found = [];
    data.rows.forEach((row, place) => {
      if (task !== '' && row[1] !== +task || label !== '' && row[2] !== label) return;
      if (kept !== '' && row[5] !== +kept) return;
      if (low !== '' && bin(row) !== +low) return;
      if (said === '' || words[place].includes(said)) found.push(row);
    });
    if (way > 0) found.reverse();
    from = 0;
    show();
  };
  const item = row => {
    const text = data.texts[row[0]], task = data.instructions[row[1]], one = made('li', '');
    one.append(made('p', text[1]), made('p', row[2], 'response'),
      made('p', task[1] + ' · ' + text[2] + ' · difficulty ' + row[3].toFixed(3) + ' · chance to be kept ' +
        row[4].toFixed(2) + ' · ' + (row[5] ? 'kept' : 'not kept'), 'quiet'));
    const more = made('details', '');
    const chain = ['source ' + text[3] + ', row ' + text[4], task[4] && 'perspective ' + task[4], 'task ' + task[1],
      'response ' + row[2], row[5] ? 'kept by the sampler' : 'left out by the sampler'];
    more.append(made('summary', 'Where it comes from'), made('p', chain.filter(Boolean).join(' \u2192 '), 'quiet'),
      made('p', task[3], 'quiet'), made('p', 'compeffdist trace ' + row[6], 'ids'),
      made('p', text[0] + ' ' + task[0], 'ids'));
    one.append(more);
    return one;
  };
  const show = () => {
    list.replaceChildren(...found.slice(from, from + PAGE).map(item));
    by('row-count').textContent = found.length ? found.length.toLocaleString('en') + ' rows, showing ' + (from + 1) +
      ' to ' + Math.min(from + PAGE, found.length) : 'No row fits.';
    by('row-back').disabled = from === 0;
    by('row-on').disabled = from + PAGE >= found.length;
  };
  const turn = by_ => { from += by_; show(); by('row-count').scrollIntoView({block: 'start'}); };
  by('row-back').addEventListener('click', () => turn(-PAGE));
  by('row-on').addEventListener('click', () => turn(PAGE));
  form.addEventListener('submit', event => event.preventDefault());
  let waiting = 0;
  form.addEventListener('input', event => {
    if (event.target === form.task) labels();
    clearTimeout(waiting);
    waiting = setTimeout(search, event.target === form.words ? 150 : 0);
  });
  labels();
  search();
})();
"""
MAP = """
'use strict';
(() => {
  const map = document.getElementById('map');
  if (!map) return;
  const out = map.closest('.map').querySelector('output'), marks = [...map.querySelectorAll('[data-mark]')];
  const ranks = map.dataset.perspectives.split(' ');
  let at = -1;
  const light = place => {
    map.classList.toggle('lit', place >= 0);
    marks.forEach((mark, other) => mark.classList.toggle('near', place >= 0 && ranks[other] === ranks[place]));
    out.textContent = place < 0 ? '' : marks[place].querySelector('title').textContent;
    at = place;
  };
  marks.forEach((mark, place) => {
    mark.addEventListener('mouseenter', () => light(place));
    mark.addEventListener('click', () => light(place));
  });
  map.addEventListener('mouseleave', () => light(-1));
  map.addEventListener('keydown', event => {
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (event.key === 'Escape') light(-1);
    if (!step) return;
    event.preventDefault();
    // to the first mark of the next perspective
    const every = [...new Set(ranks)].sort((a, b) => a - b);
    const next = (every.indexOf(ranks[at]) + step + every.length) % every.length;
    light(ranks.indexOf(at < 0 ? every[0] : every[next]));
  });
})();
"""
SCRIPTS = (BROWSER, MAP)
