// Notes every text that a table draws on its canvas, and by how many pixels it reaches out of its column: window.drawn.
(() => {
  const pen = CanvasRenderingContext2D.prototype, rect = pen.rect, fill = pen.fillText, headHeight = 34;
  window.drawn = new Map();
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
    return fill.call(this, text, x, y, ...rest);
  };
})();
