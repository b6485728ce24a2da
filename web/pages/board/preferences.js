// A classic script, run before the first paint: what is remembered must not flash in afterwards.
(() => {
  const root = document.documentElement;
  const read = (name) => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null; // storage may be forbidden; the page then is as for anyone
    }
  };
  const wide = matchMedia("(min-width: 60rem)").matches;
  root.dataset.feed = wide && read("teamcast.feed") !== "closed" ? "open" : "closed";
  const user = new URLSearchParams(location.search).get("user") ?? "";
  root.dataset.view = /^[1-9][0-9]{0,15}$/.test(user) ? "board" : "picker";
})();
