// Renders every formula once with the site's own MathJax. Sphinx never looks inside a formula.
// stdin: a JSON list of TeX sources; stdout: a JSON list with an error message or null for each.
const path = require("path");

const [root] = process.argv.slice(2);  // the folder of MathJax's files

async function main() {
  const MathJax = await require(path.join(root, "node-main.js")).init({
    loader: {load: ["input/tex-full", "output/svg"], paths: {mathjax: root}, require},
    // Without these two extensions an error is an error instead of red text.
    tex: {packages: {"[-]": ["noerrors", "noundefined"]}},
  });
  const formulas = JSON.parse(require("fs").readFileSync(0, "utf8"));
  const errors = [];
  for (const tex of formulas) {
    const html = MathJax.startup.adaptor.outerHTML(await MathJax.tex2svgPromise(tex));
    const found = /data-mjx-error="([^"]*)"/.exec(html);
    errors.push(found ? found[1] : null);
  }
  process.stdout.write(JSON.stringify(errors));
}

main().catch((error) => { console.error(error); process.exit(1); });
