// Notes every text that a table or a chart of the stage draws on its canvas, and by how many pixels it reaches out of its column,
// or out of the chart: window.drawn.
(() => {
  const pen = CanvasRenderingContext2D.prototype, rect = pen.rect, fill = pen.fillText, clear = pen.clearRect, headHeight = 34;
  window.drawn = new Map();
  pen.clearRect = function (...where) {
    if (this.canvas.closest?.('.stage')) window.drawn.get(this.canvas)?.clear();
    return clear.call(this, ...where);
  };
  pen.rect = function (x, y, width, height) {
    this.column = [x, x + width];
    return rect.call(this, x, y, width, height);
  };
  pen.fillText = function (text, x, y, ...rest) {
    if (this.column && this.canvas.closest?.('[data-testid=stDataFrame]')) {
      const width = this.measureText(text).width;
      const left = x - (this.textAlign === 'right' ? width : this.textAlign === 'center' ? width / 2 : 0);
      const texts = window.drawn.get(this.canvas) ?? new Map();
      window.drawn.set(this.canvas, texts);
      const over = Math.max(left + width - this.column[1], this.column[0] - left);
      texts.set(`${y < headHeight ? 'head' : 'cell'} ${text}`, over);
    }
    if (this.canvas.closest?.('.stage')) {
      const width = this.measureText(text).width, { clientWidth, clientHeight } = this.canvas;
      const left = x - (this.textAlign === 'right' ? width : this.textAlign === 'center' ? width / 2 : 0);
      const texts = window.drawn.get(this.canvas) ?? new Map(), name = `chart ${text}`;
      window.drawn.set(this.canvas, texts);
      const over = Math.max(left + width - clientWidth, -left, y - clientHeight, -y);
      texts.set(name, Math.max(over, texts.get(name) ?? over)); // a name may stand there twice
    }
    return fill.call(this, text, x, y, ...rest);
  };
})();
