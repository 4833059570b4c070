"""DSPy: a module whose prediction says how the answer came about, and a dspy.LM that is sent the question alone."""

import dspy

from service.pipelines.dspy import Hopfix, QuestionAdapter

question = "Who runs the company that makes the Walkman?"
prediction = Hopfix("http://127.0.0.1:8000")(question=question)
print(prediction.answer, "via", prediction.hopfix["bridge"]["text"])

lm = dspy.LM("openai/demo", api_base="http://127.0.0.1:8000/v1", api_key="none", cache=False)
dspy.configure(lm=lm, adapter=QuestionAdapter())
print(dspy.Predict("question -> answer")(question=question).answer)
