"""``{quiz}``: questions whose every choice, right or wrong, is told why. Without a script the reasons unfold."""

from string import ascii_lowercase

import yaml
from docutils import nodes
from gather import add_node, script_only_where_used
from sphinx.util.docutils import SphinxDirective


class quiz(nodes.General, nodes.Element):
    """All questions. Attribute ``heading``: the accessible name."""


class quiz_question(nodes.General, nodes.Element):
    """One question: a prompt, what belongs to it, choices, reasons. Attributes ``name``, ``several``."""


class quiz_prompt(nodes.General, nodes.TextElement):
    """The question's text, the legend of its group of choices. Attribute ``number``."""


class quiz_choice(nodes.General, nodes.TextElement):
    """One choice. Attributes ``right``, ``name``, ``several``, ``id``."""


class quiz_reasons(nodes.General, nodes.Element):
    """What unfolds where no script runs; the script takes its items from here."""


class quiz_reason(nodes.General, nodes.Element):
    """One item: the choice again, right or wrong, and why."""


def yaml_list(directive, keys):
    """The directive's body, a YAML list of mappings with these `keys`, of which those that end in ? may be missing."""
    body = "\n".join(directive.content)
    try:
        for token in yaml.scan(body):
            if isinstance(token, yaml.ScalarToken) and token.style == '"':
                raise directive.error("no double quotes: YAML eats the backslashes of maths in them; use single quotes")
        entries = yaml.load(body, yaml.BaseLoader)  # texts only: "No" is an answer, not a truth value
    except yaml.YAMLError as error:
        raise directive.error(f"the body of {directive.name} is not YAML: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise directive.error(f"the body of {directive.name} is a YAML list")
    for entry in entries:
        check_keys(directive, entry, keys)
    return entries


def check_keys(directive, entry, keys):
    allowed = {key.removesuffix("?") for key in keys}
    needed = {key for key in keys if not key.endswith("?")}
    if not isinstance(entry, dict) or not needed <= set(entry) <= allowed:
        raise directive.error(f"{directive.name}: expected the keys {', '.join(keys)}, got {entry!r}")


def phrase(directive, text):
    """`text` parsed: the inline nodes of its first paragraph, and the blocks that follow it."""
    first, *rest = directive.parse_text_to_nodes(str(text))
    if not isinstance(first, nodes.paragraph):
        raise directive.error(f"{directive.name}: a text begins with a paragraph, this one does not: {text!r}")
    return first.children, rest


def is_right(choice):
    return choice.get("right") == "true"


class Quiz(SphinxDirective):
    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True

    def run(self):
        identity = f"quiz-{self.env.new_serialno('quiz') + 1}"
        whole = quiz(ids=[identity], heading=self.arguments[0] if self.arguments else "Quiz")
        self.set_source_info(whole)
        for number, entry in enumerate(yaml_list(self, ("question", "choices")), 1):
            whole += self.question(entry, number, f"{identity}-{number}")
        return [whole]

    def question(self, entry, number, name):
        choices = entry["choices"]
        for choice in choices:
            check_keys(self, choice, ("text", "why", "right?"))
            if choice.get("right", "true") not in ("true", "false"):
                raise self.error(f"quiz: `right` is true or false, not {choice['right']!r}")
        right = sum(is_right(choice) for choice in choices)
        if not right or len(choices) < 2:
            raise self.error(f"quiz: question {number} needs two choices or more and at least one with `right: true`")
        node = quiz_question(name=name, several=right > 1)
        prompt, rest = phrase(self, entry["question"])
        node += quiz_prompt("", "", *prompt, number=number)
        node += rest
        reasons = quiz_reasons()
        for index, choice in enumerate(choices):
            shown, more = phrase(self, choice["text"])
            right_one = is_right(choice)
            if more:
                raise self.error(f"quiz: a choice is one paragraph, this one is not: {choice['text']!r}")
            node += quiz_choice("", "", *shown, right=right_one, name=name, several=right > 1, index=index)
            verdict = nodes.strong("", "Right:" if right_one else "Wrong:")
            again = nodes.inline("", "", *[child.deepcopy() for child in shown], classes=["quiz-again"])
            line = nodes.paragraph("", "", verdict, nodes.Text(" "), again)
            reasons += quiz_reason("", line, *self.parse_text_to_nodes(str(choice["why"])))
        node += reasons
        return node


def visit_quiz(translator, node):
    label = translator.attval(node["heading"])
    translator.body.append(f'<div class="quiz" id="{node["ids"][0]}" role="group" aria-label="{label}">')


def visit_question(translator, node):
    translator.body.append('<fieldset class="quiz-question">')


def visit_prompt(translator, node):
    translator.body.append(f'<legend><span class="quiz-number">{node["number"]}.</span> ')


def depart_prompt(translator, node):
    several = " <span class='quiz-hint'>Several may be right.</span>" if node.parent["several"] else ""
    translator.body.append(f"{several}</legend>\n")


def visit_choice(translator, node):
    identity = f"{node['name']}-{node['index']}"
    kind = "checkbox" if node["several"] else "radio"
    letter = ascii_lowercase[node["index"]]  # a name in words, also where the rest of the choice is a formula
    translator.body.append(
        f'<div class="quiz-choice"><input type="{kind}" name="{node["name"]}" id="{identity}" '
        f'data-right="{str(node["right"]).lower()}" autocomplete="off">'
        f'<label for="{identity}"><span class="quiz-letter">{letter}</span> '
    )


def visit_reasons(translator, node):
    translator.body.append('<details class="quiz-reasons"><summary>Answers and reasons</summary><ul>')


def opening(tag):
    return lambda translator, node: translator.body.append(tag)


def setup(app):
    add_node(app, quiz, visit_quiz, opening("</div>\n"))
    add_node(app, quiz_question, visit_question, opening("</fieldset>\n"))
    add_node(app, quiz_prompt, visit_prompt, depart_prompt)
    add_node(app, quiz_choice, visit_choice, opening("</label></div>\n"))
    add_node(app, quiz_reasons, visit_reasons, opening("</ul></details>\n"))
    add_node(app, quiz_reason, opening("<li>"), opening("</li>\n"))
    app.add_directive("quiz", Quiz)
    app.connect("html-page-context", script_only_where_used(quiz, "quiz.js"))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
