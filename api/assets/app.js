// Pages are complete without this. It shows times in the viewer's zone and renews what is marked data-live.
(() => {
	const LIVE = "[data-live]";
	const $ = (id) => document.getElementById(id);
	const main = $("content"), button = $("live");
	// Ages are counted by the server's clock.
	let ahead = Date.parse(main.dataset.now) - Date.now(), stopped = false, seen = new Date();

	const two = { hour: "2-digit", minute: "2-digit" };
	const clock = (date) => date.toLocaleString("en-GB", { ...two, second: "2-digit" });
	const full = (date, now) => date.toDateString() === now.toDateString() ? clock(date)
		: date.toLocaleString("en-GB", { ...two, day: "numeric", month: "short",
			year: date.getFullYear() === now.getFullYear() ? undefined : "numeric" });
	const part = (n, unit) => Math.floor(n / unit);
	const span = (s) => s < 60 ? `${s} s` : s < 3600 ? `${part(s, 60)} min`
		: s < 86400 ? `${part(s, 3600)}h ${String(part(s % 3600, 60)).padStart(2, "0")}m`
		: `${part(s, 86400)}d ${part(s % 86400, 3600)}h`;
	const until = (s) => s > 0 ? `in ${span(s)}` : s > -10 ? "due now" : `late by ${span(-s)}`;

	function show(root) {
		const now = new Date(Date.now() + ahead);
		for (const time of root.querySelectorAll("time")) {
			const date = new Date(time.dateTime), left = Math.round((date - now) / 1000), as = time.dataset.as;
			time.title = date.toUTCString();
			time.textContent = as === "ago" && left > -2592000 ? `${span(Math.max(0, -left))} ago`
				: as === "in" ? until(left) : full(date, now);
			const also = time.parentElement.querySelector("[data-also]");
			if (also) also.textContent = until(left);
		}
		const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
		for (const line of root.querySelectorAll("[data-zone]")) line.textContent = `Times in ${zone}`;
	}

	// What is open, scrolled or focused stays so.
	function swap(old, fresh) {
		const open = old.querySelectorAll("details[open][id]");
		const scrolled = [...old.querySelectorAll(".scroll")].map((part) => [part.scrollLeft, part.scrollTop]);
		const stops = (part) => [...part.querySelectorAll("a, button, summary, [tabindex]")];
		const focus = stops(old).indexOf(document.activeElement);
		show(fresh);
		old.replaceWith(fresh);
		for (const part of open) $(part.id)?.setAttribute("open", "");
		fresh.querySelectorAll(".scroll").forEach((part, i) => scrolled[i] && part.scrollTo(...scrolled[i]));
		stops(fresh)[focus]?.focus({ preventScroll: true });
	}

	// Rows are renewed in place, new ones announced: nothing moves under the pointer.
	function patch(fresh) {
		let added = 0;
		for (const row of [...fresh.rows]) {
			const old = $(row.id);
			if (old) swap(old, row); else added += 1;
		}
		const note = document.querySelector("#fresh a");
		if (note && !location.search.includes("_than=")) {
			note.textContent = added ? `${added} new ${added === 1 ? "run" : "runs"}` : "";
		}
	}

	const say = (text) => button.textContent = text;

	async function refresh() {
		if (document.hidden || stopped) return;
		const marked = () => !getSelection().isCollapsed;
		if (marked()) return say("Paused while text is marked");
		try {
			const answer = await fetch(location, { headers: { accept: "text/html" } });
			if (answer.redirected) return location.reload();
			if (!answer.ok) throw answer.status;
			const page = new DOMParser().parseFromString(await answer.text(), "text/html");
			if (stopped || marked()) return;
			seen = new Date();
			ahead = Date.parse(page.getElementById("content").dataset.now) - seen;
			for (const old of document.querySelectorAll(LIVE)) {
				const fresh = page.getElementById(old.id);
				if (fresh) old.dataset.live === "rows" ? patch(fresh) : swap(old, fresh);
			}
			document.title = page.title;
			say("Live");
		} catch {
			say(`Reconnecting, data of ${clock(seen)}`);
		}
	}

	function turn() {
		button.hidden = !document.querySelector(LIVE);
		if (!button.hidden) setTimeout(() => refresh().then(turn), 2000);
	}

	show(document);
	say("Live");
	button.onclick = () => { stopped = !stopped; say(stopped ? "Paused" : "Live"); };
	turn();
})();
