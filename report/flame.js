'use strict';
/* Zoom, search and details of a flame graph. Every name comes out of the document by textContent and goes back by it. */
(function () {
	var root = document.documentElement;
	if (root.namespaceURI !== 'http://www.w3.org/2000/svg')
		root = document.querySelector('svg.perfagent');
	var MARGIN = 10, CHARACTER = 7.23, NS = 'http://www.w3.org/2000/svg';
	var groups = root.querySelectorAll('g.f'), frames = [], total = 1;
	var head = root.querySelector('.head'), details = root.querySelector('.details');
	var matched = root.querySelector('.matched'), input = root.querySelector('input');
	var resetButton = root.querySelector('.reset'), height = +root.getAttribute('height');
	var hint = details.textContent, zoomed = 0, width = +root.getAttribute('width') - 2 * MARGIN;

	for (var i = 0; i < groups.length; i++) {
		var g = groups[i], title = g.querySelector('title').textContent;
		frames.push({
			g: g, rect: g.querySelector('rect'), text: g.querySelector('text'), title: title,
			name: title.split('\n', 1)[0], s: +g.getAttribute('data-s'), n: +g.getAttribute('data-n'),
			d: +g.getAttribute('data-d'), shown: true
		});
		g.index = i;
	}
	if (!frames.length)
		return;
	total = frames[0].n;
	root.classList.add('on');

	function label(f, x, w) {
		var fits = Math.floor((w - 6) / CHARACTER), name = f.name;
		if (fits < 3) {
			if (f.text)
				f.text.style.display = 'none';
			return;
		}
		if (!f.text) {
			f.text = document.createElementNS(NS, 'text');
			f.text.setAttribute('y', +f.rect.getAttribute('y') + 12);
			f.g.appendChild(f.text);
		}
		f.text.style.display = '';
		f.text.setAttribute('x', (x + 3).toFixed(1));
		f.text.textContent = name.length > fits ? name.slice(0, fits - 1) + '\u2026' : name;
	}

	/* Places every frame for the zoomed one: ancestors across the whole width, what is beside it away. */
	function place() {
		var z = frames[zoomed], end = z.s + z.n, scale = width / z.n;
		for (var i = 0; i < frames.length; i++) {
			var f = frames[i], above = f.d < z.d && f.s <= z.s && f.s + f.n >= end;
			var x = above ? 0 : (f.s - z.s) * scale, w = above ? width : f.n * scale;
			var shown = above || (f.d >= z.d && f.s >= z.s && f.s + f.n <= end && w >= 0.1);
			if (shown !== f.shown)
				f.g.style.display = shown ? '' : 'none';
			f.shown = shown;
			if (!shown)
				continue;
			f.g.classList.toggle('anc', above);
			f.rect.setAttribute('x', (MARGIN + x).toFixed(2));
			f.rect.setAttribute('width', (w > 2 ? w - 0.6 : w).toFixed(2));
			label(f, MARGIN + x, w);
		}
		resetButton.classList.toggle('off', zoomed === 0);
	}

	function zoom(index) {
		zoomed = index;
		place();
		remember();
	}

	/* A stack with several matches counts once: frames come root first, so a match inside a match is skipped. */
	function search(what) {
		var needle = what.toLowerCase(), sum = 0, nr = 0, covered = 0;
		for (var i = 0; i < frames.length; i++) {
			var f = frames[i], hit = needle !== '' && i > 0 && f.name.toLowerCase().indexOf(needle) >= 0;
			f.g.classList.toggle('m', hit);
			if (!hit)
				continue;
			nr++;
			if (f.s >= covered) {
				sum += f.n;
				covered = f.s + f.n;
			}
		}
		matched.textContent = needle === '' ? '' :
			'matched ' + (100 * sum / total).toFixed(2) + ' % in ' + nr + (nr === 1 ? ' frame' : ' frames');
		remember();
	}

	/* The state stands in the address, so that it can be bookmarked and sent. */
	function remember() {
		var parts = [];
		if (zoomed)
			parts.push('z=' + zoomed);
		if (input.value)
			parts.push('q=' + encodeURIComponent(input.value));
		try {
			history.replaceState(null, '', parts.length ? '#' + parts.join('&') : location.pathname + location.search);
		} catch (e) {
			return; /* a sandboxed document has no address of its own */
		}
	}

	function recall() {
		var state = {};
		location.hash.slice(1).split('&').forEach(function (part) {
			var at = part.indexOf('=');
			if (at > 0)
				state[part.slice(0, at)] = part.slice(at + 1);
		});
		try {
			input.value = state.q ? decodeURIComponent(state.q) : '';
		} catch (e) {
			input.value = '';
		}
		zoomed = /^[0-9]+$/.test(state.z || '') && +state.z < frames.length ? +state.z : 0;
		place();
		search(input.value);
	}

	/* As wide as the window; the header stays in view, whatever of the stacks is looked at. */
	function fit() {
		var wide = Math.max(400, window.innerWidth);
		if (document.documentElement === root) {
			root.setAttribute('width', wide);
			root.setAttribute('viewBox', '0 0 ' + wide + ' ' + height);
			root.querySelectorAll('.wide').forEach(function (e) {
				e.setAttribute('width', wide);
			});
			root.querySelector('.right').setAttribute('transform', 'translate(' + (wide - 1200) + ',0)');
			width = wide - 2 * MARGIN;
			follow();
		}
	}

	function follow() {
		if (document.documentElement === root)
			head.setAttribute('transform', 'translate(0,' + Math.max(0, Math.min(window.scrollY, height - 100)) + ')');
	}

	function frameOf(target) {
		while (target && target !== root && target.index === undefined)
			target = target.parentNode;
		return target && target.index;
	}

	root.addEventListener('mouseover', function (e) {
		var at = frameOf(e.target);
		details.textContent = at === undefined ? hint : frames[at].title.replace(/\n/g, '  \u00b7  ');
	});
	root.addEventListener('click', function (e) {
		var at = frameOf(e.target);
		if (at !== undefined)
			zoom(at);
	});
	resetButton.addEventListener('click', function () {
		zoom(0);
	});
	resetButton.addEventListener('keydown', function (e) {
		if (e.key === 'Enter' || e.key === ' ')
			zoom(0);
	});
	input.addEventListener('input', function () {
		search(input.value);
	});
	window.addEventListener('keydown', function (e) {
		if (e.key === 'Escape') {
			if (input.value !== '') {
				input.value = '';
				search('');
			} else {
				zoom(0);
			}
			input.blur();
		} else if ((e.key === 'f' && (e.ctrlKey || e.metaKey)) || (e.key === '/' && e.target !== input)) {
			e.preventDefault();
			input.focus();
			input.select();
		}
	});
	window.addEventListener('resize', function () {
		fit();
		place();
	});
	window.addEventListener('scroll', follow);
	window.addEventListener('hashchange', recall);
	fit();
	recall();
	if (document.documentElement === root && height > window.innerHeight)
		window.scrollTo(0, height); /* the root is at the bottom */
})();
