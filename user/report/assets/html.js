"use strict";
(function () {
	const $ = function (id) { return document.getElementById(id); };
	const data = JSON.parse($("data").textContent);
	const canvas = $("flame"), tip = $("tip"), ctx = canvas.getContext("2d");
	const ROW = 20, FONT = "12px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace";
	const ROOT = 0, NOTE = 5, MIN_PIXELS = 0.3;
	const view = { metric: data.metric, state: -1, kind: -1, invert: false, diff: false, word: "",
		       zoom: 0, hover: -1 };
	const nodes = data.nodes.map(function (n, i) {
		return { i: i, parent: n[0], label: data.labels[n[1]], shade: n[1], cls: n[2], kids: [],
			 now: 0, base: 0, depth: 0, x: 0, w: 0, hit: false };
	});
	nodes.forEach(function (n) {
		if (n.i) {
			nodes[n.parent].kids.push(n);
			n.depth = nodes[n.parent].depth + 1;
		}
	});
	let boxes = [], rows = 1, palette = {};

	function style(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

	function read_palette() {
		palette = { ink: style("--ink"), line: style("--line"), card: style("--card"), dark: matchMedia("(prefers-color-scheme: dark)").matches };
		palette.cls = [style("--line"), style("--lua"), style("--jit"), style("--c"), style("--gc"), style("--line")];
	}

	/* Sums of what the filters let pass; bigger callees first. */
	function sum() {
		nodes.forEach(function (n) { n.now = n.base = 0; });
		data.samples.forEach(function (s) {
			if ((view.state >= 0 && s[1] !== view.state) || (view.kind >= 0 && s[2] !== view.kind))
				return;
			nodes[s[0]].now += s[3 + view.metric];
			nodes[s[0]].base += s.length > 7 ? s[7 + view.metric] : 0;
		});
		for (let i = nodes.length - 1; i > 0; i--) {
			nodes[nodes[i].parent].now += nodes[i].now;
			nodes[nodes[i].parent].base += nodes[i].base;
		}
		nodes.forEach(function (n) { n.kids.sort(function (a, b) { return size(b) - size(a); }); });
	}

	/* In a comparison a frame is as wide as the bigger of the two, so that both can be seen. */
	function size(n) { return view.diff ? Math.max(n.now, n.base) : n.now; }

	function amount(v) {
		const sign = v < 0 ? "−" : "";
		v = Math.abs(v);
		if (view.metric % 2)
			return sign + v.toLocaleString("en");
		const units = ["B", "KiB", "MiB", "GiB", "TiB"];
		let u = 0;
		while (v >= 1024 && u < 4) { v /= 1024; u++; }
		return sign + (u ? v.toFixed(1) : v) + " " + units[u];
	}

	function layout() {
		const width = canvas.clientWidth, root = nodes[view.zoom];
		boxes = [];
		rows = 1;
		function place(n, x, w, depth) {
			n.x = x; n.w = w; n.row = depth;
			boxes.push(n);
			rows = Math.max(rows, depth + 1);
			const all = n.kids.reduce(function (s, k) { return s + size(k); }, 0);
			const unit = w / Math.max(size(n), all, 1e-9);
			n.kids.forEach(function (k) {
				const kw = size(k) * unit;
				if (kw >= MIN_PIXELS)
					place(k, x, kw, depth + 1);
				x += kw;
			});
		}
		/* The frames below the one zoomed to span the width, so that the way to it stays visible. */
		const path = [];
		for (let n = root; n.i; n = nodes[n.parent])
			path.unshift(nodes[n.parent]);
		path.forEach(function (n, d) { n.x = 0; n.w = width; n.row = d; boxes.push(n); });
		if (size(root) > 0)
			place(root, 0, width, path.length);
	}

	function mix(hex, other, t) {
		const a = parseInt(hex.slice(1), 16), b = parseInt(other.slice(1), 16);
		const part = function (s) { return Math.round(((a >> s) & 255) * (1 - t) + ((b >> s) & 255) * t); };
		return "rgb(" + part(16) + "," + part(8) + "," + part(0) + ")";
	}

	function color(n) {
		if (n.hit)
			return "#e5397f";
		if (view.diff && n.cls !== ROOT) {
			const d = n.now - n.base, most = Math.max(1, Math.abs(nodes[0].now - nodes[0].base));
			const t = Math.min(1, 0.15 + 0.85 * Math.sqrt(Math.abs(d) / most));
			return d ? mix(palette.dark ? "#37343c" : "#f0ede8", d > 0 ? "#e0533d" : "#3d7fe0", t) : palette.line;
		}
		if (n.cls === ROOT || n.cls === NOTE)
			return palette.line;
		return mix(palette.cls[n.cls], palette.dark ? "#ffffff" : "#ffffff", ((n.shade * 2654435761 >>> 29) & 3) * 0.09);
	}

	function y_of(n) { return view.invert ? (rows - 1 - n.row) * ROW : n.row * ROW; }

	function draw() {
		const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth;
		canvas.style.height = rows * ROW + "px";
		canvas.width = Math.round(width * ratio);
		canvas.height = Math.round(rows * ROW * ratio);
		ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
		ctx.font = FONT;
		ctx.textBaseline = "middle";
		const letter = ctx.measureText("m").width;
		boxes.forEach(function (n) {
			const y = y_of(n), w = Math.max(0.4, n.w - 0.8);
			ctx.globalAlpha = view.word && !n.hit ? 0.38 : 1;
			ctx.fillStyle = color(n);
			ctx.beginPath();
			if (w > 5 && ctx.roundRect) ctx.roundRect(n.x, y, w, ROW - 1.2, 3); else ctx.rect(n.x, y, w, ROW - 1.2);
			ctx.fill();
			if (n.i === view.hover) {
				ctx.strokeStyle = palette.ink;
				ctx.lineWidth = 1.5;
				ctx.stroke();
			}
			const fits = Math.floor((n.w - 9) / letter);
			if (fits >= 3) {
				ctx.fillStyle = n.hit ? "#fff" : n.cls === ROOT || n.cls === NOTE || view.diff ? palette.ink : palette.dark ? "#0e0d10" : "#231f1a";
				const name = n.label.length <= fits ? n.label : n.label.replace(/(^| )\/.*\//, "$1");
				ctx.fillText(name.length <= fits ? name : name.slice(0, fits - 1) + "…", n.x + 5, y + ROW / 2);
			}
		});
		ctx.globalAlpha = 1;
	}

	function find() {
		const word = view.word.toLowerCase();
		let matched = 0, count = 0;
		(function walk(n, inside) {
			n.hit = !!word && n.label.toLowerCase().includes(word) && size(n) > 0;
			if (n.hit) count++;
			if (n.hit && !inside) matched += n.now;
			n.kids.forEach(function (k) { walk(k, inside || n.hit); });
		}(nodes[0], false));
		$("hits").textContent = word ? count + (count === 1 ? " frame, " : " frames, ") +
			(nodes[0].now ? (100 * matched / nodes[0].now).toFixed(1) : "0") + " %" : "";
	}

	function refresh() {
		sum();
		if (view.zoom && !size(nodes[view.zoom]))
			view.zoom = 0;
		find();
		layout();
		draw();
		$("reset").disabled = !view.zoom;
	}

	function at(e) {
		const r = canvas.getBoundingClientRect(), x = e.clientX - r.left, y = e.clientY - r.top;
		return boxes.find(function (n) { return y >= y_of(n) && y < y_of(n) + ROW && x >= n.x && x < n.x + n.w; });
	}

	function line(parent, tag, text) {
		const el = document.createElement(tag);
		el.textContent = text;
		parent.append(el);
	}

	function show_tip(e, n) {
		tip.textContent = "";
		line(tip, "b", n.label);
		line(tip, "span", amount(n.now) + ", " + (nodes[0].now ? (100 * n.now / nodes[0].now).toFixed(2) : "0") + " % of all" +
			(view.diff ? "; change " + (n.now > n.base ? "+" : "") + amount(n.now - n.base) : ""));
		tip.hidden = false;
		const box = canvas.parentElement.getBoundingClientRect();
		tip.style.left = Math.max(8, Math.min(e.clientX - box.left + 14, box.width - tip.offsetWidth - 10)) + "px";
		tip.style.top = e.clientY - box.top + 18 + "px";
	}

	canvas.addEventListener("mousemove", function (e) {
		const n = at(e), i = n ? n.i : -1;
		if (n) show_tip(e, n); else tip.hidden = true;
		if (i !== view.hover) {
			view.hover = i;
			draw();
		}
	});
	canvas.addEventListener("mouseleave", function () { tip.hidden = true; view.hover = -1; draw(); });
	canvas.addEventListener("click", function (e) {
		const n = at(e);
		if (n) { view.zoom = n.i; refresh(); }
	});

	function toggle(id, key) {
		const b = $(id);
		if (b)
			b.addEventListener("click", function () {
				view[key] = !view[key];
				b.setAttribute("aria-pressed", view[key]);
				refresh();
			});
	}
	toggle("invert", "invert");
	toggle("diff", "diff");
	$("reset").addEventListener("click", function () { view.zoom = 0; refresh(); });
	$("search").addEventListener("input", function () { view.word = this.value.trim(); refresh(); });
	$("metric").addEventListener("click", function (e) {
		const b = e.target.closest("button");
		if (!b)
			return;
		view.metric = +b.dataset.m;
		this.querySelectorAll("button").forEach(function (x) { x.setAttribute("aria-pressed", x === b); });
		refresh();
	});
	function choices(id, all, names, key) {
		const s = $(id);
		[all].concat(names).forEach(function (name, i) {
			const o = document.createElement("option");
			o.value = i - 1;
			o.textContent = name;
			s.append(o);
		});
		s.hidden = names.length < 2;
		s.addEventListener("change", function () { view[key] = +s.value; refresh(); });
	}
	choices("state", "all states", data.states, "state");
	choices("kind", "all kinds", data.kinds, "kind");
	document.addEventListener("keydown", function (e) {
		if (e.key === "/" && document.activeElement !== $("search")) {
			e.preventDefault();
			$("search").focus();
		} else if (e.key === "Escape") {
			view.zoom = 0;
			view.word = $("search").value = "";
			refresh();
		}
	});
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () { read_palette(); draw(); });
	$("graph").hidden = false;
	if (location.hash.startsWith("#search="))
		view.word = $("search").value = decodeURIComponent(location.hash.slice(8));
	read_palette();
	new ResizeObserver(function () { layout(); draw(); }).observe(canvas.parentElement);
	refresh();
}());
