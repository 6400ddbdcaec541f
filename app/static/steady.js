{
  // What a timed refresh brings is put into what is there: what has the same content stays the same element, so a
  // selection, an opened <details>, the scroll of a wide table and the keyboard's place stay where they are.
  const AHEAD = 8;
  const own = Object.getOwnPropertyDescriptor(Element.prototype, "innerHTML");
  const content = (one) => (one.nodeType === 1 ? one.outerHTML.replaceAll(' open=""', "") : one.nodeName + one.data);
  const alike = (a, b) => a && a.nodeType === b.nodeType && a.nodeName === b.nodeName;
  const takeAttributes = (here, told) => {
    for (const { name } of [...here.attributes])
      if (!told.hasAttribute(name) && !(name === "open" && here.nodeName === "DETAILS")) here.removeAttribute(name);
    for (const { name, value } of told.attributes)
      if (here.getAttribute(name) !== value) here.setAttribute(name, value);
  };
  const become = (here, told) => {
    const there = [...here.childNodes], wanted = [...told.childNodes];
    const old = there.map(content), fresh = wanted.map(content);
    let at = 0;
    wanted.forEach((one, place) => {
      const kept = old.slice(at, at + AHEAD).indexOf(fresh[place]);
      if (kept >= 0) {
        there.slice(at, at + kept).forEach((gone) => gone.remove());
        at += kept + 1;
      } else if (!alike(there[at], one) || fresh.slice(place + 1, place + AHEAD).includes(old[at])) {
        here.insertBefore(one, there[at] ?? null);
      } else if (one.nodeType === 1) {
        takeAttributes(there[at], one);
        become(there[at++], one);
      } else there[at++].data = one.data;
    });
    there.slice(at).forEach((gone) => gone.remove());
  };
  Object.defineProperty(Element.prototype, "innerHTML", {
    ...own,
    set(html) {
      const steady = this.dataset?.testid === "stHtml" && this.firstChild && this.drawnOn === location.pathname;
      if (this.dataset?.testid === "stHtml") this.drawnOn = location.pathname;
      if (!steady || !html) return void own.set.call(this, html);
      const told = this.cloneNode(false);
      own.set.call(told, html);
      become(this, told);
    },
  });
}
