// A line for every text on the page that cannot be read in full, because something cuts it or because it is off the window.
() => {
  const lines = new Set();
  const above = el => el.parentElement ?? el.getRootNode().host; // out of a shadow root, too
  const around = (el, selector) => el && (el.closest(selector) ?? around(el.getRootNode().host, selector));
  const place = el => `${around(el, '[data-testid]')?.dataset.testid ?? ''} <${el.tagName.toLowerCase()}>`;
  const say = (what, text, el) => lines.add(`${what}: "${text.trim().replace(/\s+/g, ' ').slice(0, 60)}" in ${place(el)}`);
  const unseen = el => !el.checkVisibility({ opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true });
  const scrolls = ['auto', 'scroll'];

  const checkText = (rects, text, start) => {
    let free = false; // below something that can be scrolled downwards
    for (let el = start; el && !['stMain', 'stSidebar'].includes(el.dataset?.testid); el = above(el)) {
      const style = getComputedStyle(el), box = el.getBoundingClientRect();
      if (style.position === 'absolute' && (box.width <= 1 || style.clipPath === 'inset(50%)')) return; // for screen readers alone
      if (style.position === 'fixed' && box.bottom < 0) return; // waits for the focus
      if (style.display === 'inline') continue;
      for (const rect of rects) {
        const over = Math.round(Math.max(rect.right - box.right, box.left - rect.left));
        if (style.overflowX !== 'visible' && over > 1) return say(`cut by ${over} px`, text, start);
        const below = Math.round(Math.max(rect.bottom - box.bottom, box.top - rect.top));
        if (!free && ['hidden', 'clip'].includes(style.overflowY) && below > 3) return say(`cut below by ${below} px`, text, start);
      }
      free ||= scrolls.includes(style.overflowY);
    }
    if (rects.some(rect => rect.right > innerWidth + 1 || rect.left < -1)) say('off the window', text, start);
  };

  const checkBox = box => { // what was typed or chosen, or what stands there until then
    const style = getComputedStyle(box), pen = document.createElement('canvas').getContext('2d');
    const text = box.value || box.placeholder;
    pen.font = style.font;
    const room = box.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const over = Math.round(pen.measureText(text).width - room);
    if (over > 1) say(`cut by ${over} px`, text, box);
  };

  const checkChart = text => {
    const box = text.getBoundingClientRect(), chart = text.closest('svg').getBoundingClientRect();
    const over = Math.max(box.right - chart.right, chart.left - box.left, chart.top - box.top - 1, box.bottom - chart.bottom - 1);
    if (over > 1) say(`cut by ${Math.round(over)} px`, text.textContent, text);
  };

  const roots = '[data-testid=stMain], [data-testid=stSidebar], [role=dialog], [data-testid=stPopoverBody]';
  const withShadows = root => // what is in a shadow root is in no other one
    [root, ...[...root.querySelectorAll('*')].filter(el => el.shadowRoot).flatMap(el => withShadows(el.shadowRoot))];
  const open = [...document.querySelectorAll(roots)].filter(root => root.getBoundingClientRect().right > 0); // a sidebar may be folded away
  for (const root of open.flatMap(withShadows)) {
    const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
      const text = walk.currentNode, el = text.parentElement;
      if (!text.data.trim() || el.closest('style, script, canvas, svg, .katex, [data-testid=stIconMaterial]') || unseen(el)) continue;
      const range = document.createRange();
      range.selectNodeContents(text);
      checkText([...range.getClientRects()].filter(rect => rect.width > 1), text.data, el);
      const style = getComputedStyle(el);
      if (style.textOverflow === 'ellipsis' && el.scrollWidth > el.clientWidth + 1) say('cut by dots', text.data, el);
      if (style.webkitLineClamp !== 'none' && el.scrollHeight > el.clientHeight + 3) say('cut by dots', text.data, el);
    }
    for (const box of root.querySelectorAll('textarea, input:not([type=range], [type=checkbox], [type=radio], [type=file])'))
      if (!unseen(box) && (box.value || box.placeholder)) checkBox(box);
    for (const text of root.querySelectorAll('svg.main-svg text'))
      if (text.textContent.trim() && !unseen(text) && !text.closest('.hoverlayer')) checkChart(text);
  }
  for (const [canvas, texts] of window.drawn ?? [])
    for (const [text, over] of texts) if (canvas.isConnected && over > 1) say(`cut by ${Math.round(over)} px`, text, canvas);
  return [...lines];
}
