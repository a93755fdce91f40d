"use strict";
(function () {
	const $ = function (id) { return document.getElementById(id); };
	const NS = "http://www.w3.org/2000/svg";

	function bytes(v) {
		const units = ["B", "KiB", "MiB", "GiB", "TiB"];
		let u = 0;
		while (v >= 1024 && u < 4) { v /= 1024; u++; }
		return (u ? v.toFixed(v < 10 ? 2 : 1) : v) + " " + units[u];
	}

	/* Tables: a click on a head sorts, numbers by what they are, the biggest first. */
	document.querySelectorAll("table.sorts").forEach(function (table) {
		const heads = Array.from(table.tHead.rows[0].cells), body = table.tBodies[0];
		function key(row, i) {
			const cell = row.cells[i];
			return cell.dataset.v === undefined ? cell.textContent.toLowerCase() : +cell.dataset.v;
		}
		heads.forEach(function (head, i) {
			head.firstElementChild.addEventListener("click", function () {
				const was = head.getAttribute("aria-sort"), down = was ? was !== "descending" : head.classList.contains("n");
				heads.forEach(function (h) { h.removeAttribute("aria-sort"); });
				head.setAttribute("aria-sort", down ? "descending" : "ascending");
				Array.from(body.rows).sort(function (a, b) {
					const x = key(a, i), y = key(b, i), c = x < y ? -1 : x > y ? 1 : 0;
					return down ? -c : c;
				}).forEach(function (row) { body.append(row); });
			});
		});
	});
	document.querySelectorAll("input.filter").forEach(function (input) {
		const rows = Array.from(input.parentElement.querySelector("tbody").rows);
		input.addEventListener("input", function () {
			const word = input.value.trim().toLowerCase();
			rows.forEach(function (row) { row.hidden = !row.textContent.toLowerCase().includes(word); });
		});
	});
	document.addEventListener("keydown", function (e) {
		const filter = document.querySelector("input.filter");
		if (e.key === "/" && filter && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
			e.preventDefault();
			filter.focus();
		}
	});

	/* Where one is on the page. */
	const links = Array.from(document.querySelectorAll("nav a"));
	if (window.IntersectionObserver) {
		const seen = new Set();
		const watcher = new IntersectionObserver(function (entries) {
			entries.forEach(function (e) { seen[e.isIntersecting ? "add" : "delete"](e.target.id); });
			const now = links.find(function (a) { return seen.has(a.hash.slice(1)); });
			if (now)
				links.forEach(function (a) { a.toggleAttribute("aria-current", a === now); });
		}, { rootMargin: "-60px 0px -40% 0px" });
		document.querySelectorAll("section[id]").forEach(function (s) { watcher.observe(s); });
	}

	/* The chart of heap and live bytes. */
	const plot = $("plot"), data = JSON.parse($("series").textContent);
	if (!plot || !data.states.length)
		return;
	const which = $("which"), text = $("plot-text");
	const view = { state: 0, at: -1 };
	data.states.forEach(function (s, i) {
		const o = document.createElement("option");
		o.value = i;
		o.textContent = s.name + (s.pid ? ", process " + s.pid : "") + (s.closed !== undefined ? ", closed" : "");
		which.append(o);
	});

	function el(name, attrs, parent) {
		const e = document.createElementNS(NS, name);
		Object.keys(attrs).forEach(function (k) { e.setAttribute(k, attrs[k]); });
		parent.append(e);
		return e;
	}

	function clock(ms) {
		const s = ms / 1000;
		if (data.span < 120000) return s.toFixed(1) + " s";
		if (data.span < 7200000) return Math.floor(s / 60) + ":" + String(Math.floor(s % 60)).padStart(2, "0") + " min";
		return Math.floor(s / 3600) + ":" + String(Math.floor(s / 60) % 60).padStart(2, "0") + " h";
	}

	/* 1, 2 or 5 times a power of two or ten, so that about n steps fit. */
	function step(most, n, base) {
		const rough = most / n, unit = Math.pow(base, Math.floor(Math.log(rough) / Math.log(base)));
		const list = base === 10 ? [1, 2, 5, 10] : [1, 2];
		return unit * (list.find(function (f) { return f * unit >= rough; }) || base);
	}

	/* Findings of other states are marked there. */
	function marks_of(s) {
		return data.marks.filter(function (m) { return !m.state || m.state === s.n; })
			.sort(function (a, b) { return a.t - b.t; });
	}

	const H = 300, LEFT = 74, RIGHT = 14, TOP = 20, BOTTOM = 44;
	let frame = null;

	function draw() {
		const s = data.states[view.state], p = s.points, W = Math.max(280, plot.clientWidth);
		const end = s.closed !== undefined ? Math.min(s.closed, data.span) : data.span;
		let t0 = Math.min(p[0][0], data.states[0].points[0][0]);
		marks_of(s).forEach(function (m) { t0 = Math.min(t0, m.t); });
		if (data.span - t0 < 500) /* one moment only: show what came before it, too */
			t0 = Math.max(0, data.span - 2000);
		const span = Math.max(1, data.span - t0);
		const most = Math.max(1, Math.max.apply(null, p.map(function (q) { return Math.max(q[2], q[3]); }))) * 1.06;
		const x = function (t) { return LEFT + (t - t0) / span * (W - LEFT - RIGHT); };
		const y = function (v) { return H - BOTTOM - v / most * (H - TOP - BOTTOM); };
		const svg = document.createElementNS(NS, "svg");
		svg.setAttribute("viewBox", "0 0 " + W + " " + H);
		svg.setAttribute("height", H);
		const sy = step(most, 4, 2), sx = step(span, W < 500 ? 3 : 6, 10);
		for (let v = 0; v <= most; v += sy) {
			el("line", { "class": "grid", x1: LEFT, x2: W - RIGHT, y1: y(v), y2: y(v) }, svg);
			el("text", { x: LEFT - 8, y: y(v) + 4, "text-anchor": "end" }, svg).textContent = bytes(v);
		}
		for (let t = Math.ceil(t0 / sx) * sx; t <= t0 + span; t += sx)
			el("text", { x: x(t), y: H - 6, "text-anchor": x(t) > W - 40 ? "end" : "middle" }, svg).textContent = clock(t);
		const tail = function (v) { return "L" + x(end) + "," + y(v); };
		const path = function (i) {
			return p.map(function (q, n) { return (n ? "L" : "M") + x(q[0]).toFixed(1) + "," + y(q[i]).toFixed(1); }).join("");
		};
		const last = p[p.length - 1];
		el("path", { "class": "area", d: path(2) + tail(last[2]) + "L" + x(end) + "," + y(0) + "L" + x(p[0][0]) + "," + y(0) + "Z" }, svg);
		if (p.some(function (q) { return q[1] !== q[2]; }))
			el("path", { "class": "band", d: path(2) + p.slice().reverse().map(function (q) { return "L" + x(q[0]).toFixed(1) + "," + y(q[1]).toFixed(1); }).join("") + "Z" }, svg);
		el("path", { "class": "heap", d: path(2) + tail(last[2]) }, svg);
		el("path", { "class": "live", d: path(3) + tail(last[3]) }, svg);
		if (p.length === 1)
			[2, 3].forEach(function (i) {
				el("circle", { "class": i === 2 ? "heap" : "live", cx: x(p[0][0]), cy: y(p[0][i]), r: 3 }, svg);
			});
		/* Collections: a bar for each stretch, as high as there were many. */
		const per = p.map(function (q, n) { return n ? q[4] - p[n - 1][4] : 0; });
		const busiest = Math.max(1, Math.max.apply(null, per));
		per.forEach(function (c, n) {
			if (c > 0)
				el("rect", { "class": "gc", x: x(p[n][0]) - 1, width: 2, y: H - BOTTOM + 4 + 16 * (1 - Math.max(0.3, c / busiest)), height: 16 * Math.max(0.3, c / busiest) }, svg);
		});
		let free = -1e9, row = 0;
		marks_of(s).forEach(function (m) {
			el("line", { "class": "mark", x1: x(m.t), x2: x(m.t), y1: TOP, y2: H - BOTTOM }, svg);
			const left = x(m.t) > W * 0.7, width = 8 * m.kind.length;
			row = x(m.t) - (left ? width : 0) < free ? row + 1 : 0; /* labels do not cover each other */
			if (row < 3)
				el("text", { "class": "marked", x: x(m.t) + (left ? -5 : 5), y: TOP - 6 + 15 * row, "text-anchor": left ? "end" : "start" }, svg).textContent = m.kind;
			free = Math.max(free, x(m.t) + (left ? 8 : width));
		});
		frame = { x: x, y: y, t0: t0, span: span, W: W, cursor: el("line", { "class": "cursor", y1: TOP, y2: H - BOTTOM, visibility: "hidden" }, svg) };
		plot.replaceChildren(svg);
		say();
	}

	/* What the cursor stands on, in words: also for those who cannot see it. */
	function say() {
		const s = data.states[view.state], p = s.points;
		if (view.at < 0) {
			const high = p.reduce(function (a, q) { return q[2] > a[2] ? q : a; });
			text.textContent = s.name + ": from " + bytes(p[0][2]) + " to " + bytes(p[p.length - 1][2]) + ", at most " + bytes(high[2]) +
				" after " + clock(high[0]) + "; " + (p[p.length - 1][4] - p[0][4]) + " GC cycles" +
				(data.more ? "; the " + data.states.length + " biggest of " + (data.states.length + data.more) + " states are drawn" : "");
			frame.cursor.setAttribute("visibility", "hidden");
			return;
		}
		const q = p[view.at];
		frame.cursor.setAttribute("visibility", "visible");
		["x1", "x2"].forEach(function (k) { frame.cursor.setAttribute(k, frame.x(q[0])); });
		const marks = marks_of(s).filter(function (m) { return Math.abs(m.t - q[0]) < frame.span / 100; });
		text.textContent = "after " + clock(q[0]) + ": heap " + (q[1] !== q[2] ? bytes(q[1]) + " to " : "") + bytes(q[2]) + ", live " + bytes(q[3]) + ", " + q[4] + " GC cycles so far" +
			marks.map(function (m) { return "; " + m.kind + (m.text ? ": " + m.text : ""); }).join("");
	}

	function point_at(clientX) {
		const r = plot.getBoundingClientRect(), p = data.states[view.state].points;
		const t = frame.t0 + ((clientX - r.left) / r.width * frame.W - LEFT) / (frame.W - LEFT - RIGHT) * frame.span;
		let best = 0;
		p.forEach(function (q, i) { if (Math.abs(q[0] - t) < Math.abs(p[best][0] - t)) best = i; });
		return best;
	}

	which.addEventListener("change", function () { view.state = +which.value; view.at = -1; draw(); });
	plot.addEventListener("pointermove", function (e) { view.at = point_at(e.clientX); say(); });
	plot.addEventListener("pointerleave", function () { view.at = -1; say(); });
	plot.addEventListener("keydown", function (e) {
		const n = data.states[view.state].points.length;
		const to = { ArrowRight: Math.min(n - 1, view.at + 1), ArrowLeft: Math.max(0, view.at - 1), Home: 0, End: n - 1, Escape: -1 }[e.key];
		if (to === undefined)
			return;
		e.preventDefault();
		view.at = to;
		say();
	});
	new ResizeObserver(draw).observe(plot.parentElement);
	draw();
}());
