"""LaTeX tables of papers."""

from __future__ import annotations

from pathlib import Path

import pytest

import mmtk
from mmtk.compare.latex_rows import is_latex, latex_table
from mmtk.errors import MmtkError

TABLE = r"""\begin{table}[t] % a comment & another
\begin{tabular}{l@{\hspace{2pt}}cc|c} \toprule
 & \multicolumn{2}{c}{Dice $\uparrow$} & Accuracy (\%) \\ \cmidrule(lr){2-3}
 & LV & RV & \\ \midrule
\multicolumn{4}{l}{\textit{100 labels}} \\
U-Net~\cite{ronneberger} & 0.91 $\pm$ 0.02 & $0.90_{\pm 0.01}$ & 87.4\% \\
\textbf{Ours} & \textbf{0.93} {\scriptsize$\pm$0.02} & \underline{0.91} & \textcolor{red}{89.0} \\ \hline
\multicolumn{4}{l}{\textit{all labels}} \\[2pt]
\multirow{2}{*}{U-Net} & 0.95 & 0.94 & 91.0 \\
 & 0.96 & 0.95 & 91.5 \\
\bottomrule
\end{tabular} \caption{A & B \\}
"""


def test_rows_of_latex_are_plain_cells() -> None:
    table = latex_table(TABLE, "table.tex")
    assert table.columns == ["Method", "Dice LV", "Dice RV", "Accuracy (%)", "Group"]
    assert table.rows == [
        ["U-Net", "0.91 ± 0.02", "0.90± 0.01", "87.4%", "100 labels"],
        ["Ours", "0.93 ±0.02", "0.91", "89.0", "100 labels"],
        ["U-Net", "0.95", "0.94", "91.0", "all labels"],
        ["U-Net", "0.96", "0.95", "91.5", "all labels"],
    ]
    assert table.lines == [6, 7, 9, 10]


def test_paths_and_companies_make_no_latex() -> None:
    for text, verdict in (
        ("model,path\nR&D,\\\\server\\x\n", False),
        ("A & 1 \\\\\nB & 2", True),
        ("A & 1 \\\\[2pt]\n", True),
        ("A & 1 \\\\ \\hline % x\n", True),
        ("A & 1 \\\\\\midrule", True),
        ("a,b\n1,R\\&D\n", False),
    ):
        assert is_latex(text) is verdict, text


def test_tables_of_latex_are_audited_and_not_compared(tmp_path: Path) -> None:
    file = tmp_path / "table.tex"
    file.write_text(
        "Method & Acc & DSC \\\\ \\hline\nU-Net & 83.3 $\\pm$ 1.0 & 0.91 \\\\\nOurs & \\textbf{85.8} & 0.93 \\\\\n"
    )
    audit = mmtk.audit(file, 500)
    claims = {claim.where: claim for claim in audit.claims}
    assert (claims["accuracy"].better, claims["accuracy"].difference) == ("Ours", pytest.approx(0.025))
    assert any("behind ±" in note for note in audit.notes)
    with pytest.raises(MmtkError, match="is no number") as error:
        mmtk.compare(file)
    assert "mmtk audit" in str(error.value.hint)
    for text, message in (
        ("U-Net & 0.91 $\\pm$ 0.02 & 3.1 \\\\\n", "has no names above its numbers"),
        ("\\multicolumn{2}{c}{Dice} \\\\\nU-Net & 0.91 \\\\\n", "has no names above its numbers"),
        ("Method & Dice \\\\\n", "holds no row of numbers"),
        ("\\begin{tabular}{l}a & 1 \\\\\\end{tabular}" * 2, "holds 2 tables"),
    ):
        file.write_text(text)
        with pytest.raises(MmtkError, match=message) as error:
            mmtk.audit(file)
        assert error.value.hint


def test_tables_of_markdown_and_spreads_in_brackets_are_audited(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    rows = "| U-Net | 83.3 (1.0) | 500 |\n| **Ours** | **85.8 [84.9, 86.7]** | 500 |\n"
    file.write_text(f"# Results\n\n| Method | Accuracy | n |\n|:---|---:|--:|\n{rows}\nMore | text\n")
    audit = mmtk.audit(file)
    (claim,) = audit.claims
    assert (claim.better, claim.worse, claim.difference, claim.cases) == (
        "Ours",
        "U-Net",
        pytest.approx(0.025),
        500,
    )
    assert any("in brackets" in note for note in audit.notes)
    file.write_text("| a |\n|---|\n| 1 |\n\n| a |\n|---|\n| 1 |\n")
    with pytest.raises(MmtkError, match="holds 2 tables"):
        mmtk.audit(file)
